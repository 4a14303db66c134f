"""Every measure of one unit at one input, as findings by name (MATH.md, section 1)."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from resnet_diffeo_probe.activations import Activation, as_record
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.determinant import Determinant, determinant
from resnet_diffeo_probe.jacobian.measures.estimated import bytes_of_estimates
from resnet_diffeo_probe.jacobian.measures.site import Site
from resnet_diffeo_probe.measures.record.measure import Cost, Of
from resnet_diffeo_probe.measures.registry import functions_of, keys_of

__all__ = [
    "JACOBIAN_QUANTITIES",
    "QUANTITIES",
    "activation_measures",
    "bytes_of_measures",
    "eliminates",
    "measure",
]


#: Measures of the Jacobian of the sum map: they exist for units that keep the dimension.
JACOBIAN_QUANTITIES = keys_of(Of.JACOBIAN)
#: All measures, in the order in which they are stored.
QUANTITIES = keys_of(Of.JACOBIAN, Of.PASS)

_SOLVED = frozenset(keys_of(Of.JACOBIAN, cost=[Cost.KEPT_FACTORS]))
_OF_FACTORS = _SOLVED | frozenset(keys_of(Of.JACOBIAN, cost=[Cost.ELIMINATION]))


def measure(
    jacobian: UnitJacobian,
    x: Tensor,
    quantities: Collection[str],
    *,
    max_bytes: float | None = None,
    counts: bool = True,
    seed: int = 0,
    linearized: Linearization | None = None,
    factorized: Determinant | None = None,
) -> dict[str, Finding]:
    """Measure the Jacobian of a unit's sum map at one input.

    Where the factors need more memory than is allowed, log|det J| is estimated, and there is no sign.

    Args:
        jacobian: the unit.
        x: (1, *shape) its input.
        quantities: names from `JACOBIAN_QUANTITIES`; others are left out.
        max_bytes: memory allowed for the factors, None for no limit.
        counts: whether all real eigenvalues below −1 are counted, however many there are.
        seed: of start vectors and of the check of the sign.
        linearized: the unit at x, where it is there already.
        factorized: its determinant, where it is there already; factors as `eliminates` says.

    Returns:
        A finding for each quantity asked for.
    """
    wanted = [q for q in JACOBIAN_QUANTITIES if q in quantities]
    if not bool(torch.isfinite(x).all()):
        lost = Finding.missing(
            Status.ERROR,
            "the unit's input holds NaN or infinity: an image does, or an earlier layer makes them",
        )
        return dict.fromkeys(wanted, lost)
    lin = jacobian.at(x) if linearized is None else linearized
    if not bool(torch.isfinite(lin.branch_output).all()):
        reason = "the branch gives NaN or infinity at this input: weights or activations of this unit are too large"
        lost = Finding.missing(Status.ERROR, reason)
        return dict.fromkeys(wanted, lost)
    needs_factors = _OF_FACTORS & set(wanted)
    det, keep, too_large = None, False, None
    if needs_factors:
        allowed = math.inf if max_bytes is None else max_bytes
        keep, needed = _factors(lin, wanted, allowed)
        if needed > allowed:
            too_large = (
                f"the factors need {needed / 2**30:.3g} GiB, {allowed / 2**30:.3g} GiB are allowed: a smaller input "
                f"size or --max-memory {math.ceil(needed / 2**30 * 100) / 100:g} would do"
            )
        else:
            det = determinant(lin, seed=seed, keep=keep) if factorized is None else factorized
    site = Site(
        lin,
        wanted,
        determinant=det,
        kept=keep,
        too_large=too_large,
        max_bytes=max_bytes,
        counts=counts,
        seed=seed,
    )
    found: dict[str, Finding] = {}
    if too_large is not None:
        found = dict.fromkeys(needs_factors, Finding.missing(Status.NOT_RUN, too_large))
    for function in functions_of(wanted, Of.JACOBIAN):
        found |= function(site)
    if {"sign", "real_eigenvalues_below_minus_one"} <= found.keys():
        found["sign"] = cross_checked(found["sign"], found["real_eigenvalues_below_minus_one"])
    return {q: found[q] for q in wanted}


def bytes_of_measures(
    lin: Linearization, quantities: Collection[str], *, max_bytes: float | None = None
) -> float:
    """Return the memory that `measure` takes at an input: of the factors, or of the bases where they do not fit.

    Args:
        lin: the unit at the input.
        quantities: as they are given to `measure`.
        max_bytes: likewise.
    """
    allowed = math.inf if max_bytes is None else max_bytes
    if not _OF_FACTORS & set(quantities) or not bool(torch.isfinite(lin.branch_output).all()):
        return 0.0
    _, needed = _factors(lin, quantities, allowed)
    if needed <= allowed:
        return needed
    return bytes_of_estimates(lin.dimension, max_bytes=max_bytes) if "logabsdet" in quantities else 0.0


def eliminates(
    lin: Linearization, quantities: Collection[str], *, max_bytes: float | None = None
) -> bool | None:
    """Return whether `measure` keeps the factors of an elimination; None where it makes none.

    Args:
        lin: the unit at the input.
        quantities: as they are given to `measure`.
        max_bytes: likewise.
    """
    allowed = math.inf if max_bytes is None else max_bytes
    if not _OF_FACTORS & set(quantities) or not bool(torch.isfinite(lin.branch_output).all()):
        return None
    keep, needed = _factors(lin, quantities, allowed)
    return keep if needed <= allowed else None


def _factors(lin: Linearization, quantities: Collection[str], allowed: float) -> tuple[bool, float]:
    """Return whether factors are kept, and the bytes of an elimination."""
    # without a smallest singular value nobody solves later: the sign is checked along the way
    keep = bool(_SOLVED & set(quantities)) and lin.factor_bytes() <= allowed
    return keep, lin.factor_bytes(keep=keep)


def cross_checked(sign: Finding, below_minus_one: Finding) -> Finding:
    """Return the sign, undetermined if the number m of real eigenvalues of J_F below −1 contradicts (−1)^m."""
    if sign.status is not Status.OK or below_minus_one.value is None or sign.value is None:
        return sign
    if (-1) ** int(below_minus_one.value) == sign.value:
        return sign
    return Finding(
        None,
        Evidence.EXACT,
        Status.UNDETERMINED,
        dtype=sign.dtype,
        reason=f"elimination says {sign.value:+d}, but {below_minus_one.value} real eigenvalues of J_F below −1 "
        "were found, which has the other parity",
    )


def activation_measures(
    unit_input: Tensor,
    branch: Tensor,
    total: Tensor,
    *,
    activation: Activation | str | None,
    preserves_dimension: bool,
) -> dict[str, Finding]:
    """Measure what one forward pass tells.

    Args:
        unit_input: (1, *shape) x.
        branch: (1, *shape) F(x).
        total: (1, *shape) the sum g(x) = s(x) + F(x).
        activation: what is known of the activation after the addition; a name alone, e.g. `"relu"`, stands for torch's
            own defaults; None where there is none.
        preserves_dimension: whether x and F(x) have the same shape and the shortcut is the identity.

    Returns:
        `residual_ratio` ‖F(x)‖/‖x‖; `clipped_fraction`, the share of coordinates of g(x) in an interval that the
        activation sets to a constant; `clipped_depth`, how deep in it the most clipped one lies, from its nearest end
        (for a ReLU: how far below zero), relative to max |g|.
    """
    dtype = str(total.dtype).removeprefix("torch.")
    found: dict[str, Finding] = {}
    size = float(torch.linalg.vector_norm(unit_input))
    if not preserves_dimension:
        found["residual_ratio"] = _not_applicable(
            "the branch's output has another shape than the unit's input"
        )
    elif size == 0:
        found["residual_ratio"] = Finding.missing(Status.INFINITE, "the unit's input is zero")
    elif not bool(torch.isfinite(branch).all()):
        found["residual_ratio"] = Finding.missing(Status.ERROR, "the branch gives NaN or infinity")
    else:
        found["residual_ratio"] = Finding(float(torch.linalg.vector_norm(branch)) / size, dtype=dtype)
    record = as_record(activation)
    if record is None or not record.constants:
        reason = "no ReLU follows the addition" if record is None else f"{record.name} clips no coordinate"
        if record is not None and record.constants is None:
            reason = f"whether {record.name} clips coordinates is not known"
        return found | dict.fromkeys(("clipped_fraction", "clipped_depth"), _not_applicable(reason))
    if not bool(torch.isfinite(total).all()):
        lost = Finding.missing(Status.ERROR, "the sum holds NaN or infinity")
        return found | {"clipped_fraction": lost, "clipped_depth": lost}
    clipped, deepest = torch.zeros_like(total, dtype=torch.bool), 0.0
    for low, high, _ in record.constants:
        clipped |= (total >= low) & (total <= high)
        deepest = max(deepest, float(torch.minimum(total - low, high - total).max()))
    found["clipped_fraction"] = Finding(float(clipped.double().mean()), dtype=dtype)
    scale = float(total.abs().max())
    depth = deepest / scale if scale > 0 else 0.0
    found["clipped_depth"] = Finding(depth, dtype=dtype)
    return found


def _not_applicable(reason: str) -> Finding:
    return Finding.missing(Status.NOT_APPLICABLE, reason, Evidence.NOT_APPLICABLE)
