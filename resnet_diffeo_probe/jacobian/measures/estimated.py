"""What is estimated where no exact method takes a unit: its factors need too much memory, or its branch is not read.

Lanczos quadrature gives log|det J| with an interval. Nothing here gives a sign, and nothing here may be taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.linear_map import (
    LinearMap,
    branch_map,
    function_map,
    linearized_map,
)
from resnet_diffeo_probe.jacobian.estimators.power_series import logdet_by_power_series
from resnet_diffeo_probe.jacobian.estimators.work import (
    MAX_FLOPS,
    EstimateTooLongError,
    bytes_of_bases,
    flops_of,
    limited,
)
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.by_products import measures_by_products
from resnet_diffeo_probe.jacobian.measures.site import Site
from resnet_diffeo_probe.jacobian.measures.spectrum import LeftmostEigenvalues, Vector, leftmost_by_products
from resnet_diffeo_probe.measures.record.measure import Of
from resnet_diffeo_probe.measures.registry import MEASURES

__all__ = [
    "NO_SIGN",
    "WITH_BASES",
    "bytes_of_estimates",
    "estimated_logabsdet",
    "estimated_measures",
    "power_series_at",
    "power_series_measure",
]

NO_SIGN = "no estimate gives the sign of a determinant"

# What products tell of a Jacobian: a measure's key -> its name among what the iterations find.
_ESTIMATED = {m.key: m.products for m in MEASURES if m.of is Of.JACOBIAN and m.products is not None}
_OF_EIGENVALUES = frozenset(("leftmost", "critical_step", "below_minus_one"))
#: Those of the iterations that keep bases, whose memory `bytes_of_estimates` tells.
WITH_BASES = frozenset(q for q, name in _ESTIMATED.items() if name not in _OF_EIGENVALUES)

# Arnoldi iterations seldom find a leftmost real eigenvalue with fewer products.
_FEW_PRODUCTS = 200
# Without a limit from outside, the bases of the iterations take this much.
_MAX_BYTES = 2**30
# Copies of the activations that automatic differentiation may hold, in bytes of the unit's input and output.
_BATCH_BYTES = 2**26
_MOST_BATCH = 16


def estimated_logabsdet(
    lin: Linearization, because: str, *, max_bytes: float | None = None, seed: int = 0
) -> Finding:
    """Estimate log|det J| of a unit whose branch is read, by products with its linear parts.

    Args:
        lin: the unit at an input.
        because: why it is not computed exactly, for the reason of the finding.
        max_bytes: memory for the bases of the iterations.
        seed: of the probes.

    Returns:
        An estimate with a covering 95 % interval, or without a value and with the reason.
    """
    found = measures_by_products(
        linearized_map(lin),
        flops_of(lin.parent.branch.forward, lin.x),
        max_bytes=_allowed(max_bytes),
        extremes=False,
        seed=seed,
    )["half_logdet"]
    return _because(found, because)


def estimated_measures(
    sum_map: Callable[[Tensor], Tensor],
    x: Tensor,
    quantities: Collection[str],
    *,
    because: str,
    max_bytes: float | None = None,
    counts: bool = True,
    seed: int = 0,
) -> dict[str, Finding]:
    """Estimate the measures of a unit whose branch the exact engine does not read, by automatic differentiation.

    Args:
        sum_map: (B, *shape) -> (B, *shape), the map g(x) = x + F(x).
        x: (1, *shape) the unit's input, in the dtype to differentiate in.
        quantities: `logabsdet`, `sigma_min`, `sigma_max` and those of the eigenvalues; others are left out.
        because: why they are not computed exactly.
        max_bytes: memory for the bases of the iterations.
        counts: whether all real eigenvalues below −1 are counted.
        seed: of probes and start vectors.

    Returns:
        A finding for each quantity asked for that is known here.
    """
    with torch.no_grad():
        output = sum_map(x)
    if not bool(torch.isfinite(x).all() & torch.isfinite(output).all()):
        lost = Finding.missing(Status.ERROR, "the unit's input or its sum holds NaN or infinity")
        return dict.fromkeys([q for q in _ESTIMATED if q in quantities], lost)
    J = function_map(sum_map, x, batch=batch_of(sum_map, x))
    flops = flops_of(sum_map, x)
    wanted = {q: name for q, name in _ESTIMATED.items() if q in quantities}
    names = set(wanted.values())
    known: dict[str, Finding] = {}
    if products := names - _OF_EIGENVALUES:
        extremes = products != {"half_logdet"}
        known |= measures_by_products(J, flops, max_bytes=_allowed(max_bytes), extremes=extremes, seed=seed)
    if names & _OF_EIGENVALUES:
        alone = function_map(sum_map, x, batch=1)
        known |= vars(_eigenvalues(alone, flops, counts, seed))
    return {q: _because(known[name], because) for q, name in wanted.items()}


def bytes_of_estimates(dimension: int, *, max_bytes: float | None = None) -> float:
    """Return the memory that `estimated_logabsdet` or `estimated_measures` take for bases, at most.

    Args:
        dimension: n of the unit.
        max_bytes: as it is given to them.
    """
    return bytes_of_bases(dimension, dimension, max_bytes=_allowed(max_bytes))


def power_series_measure(site: Site) -> dict[str, Finding]:
    """Return `logabsdet_power_series`.

    Args:
        site: the unit at an input.
    """
    return {"logabsdet_power_series": power_series_at(site.lin, seed=site.seed)}


def power_series_at(lin: Linearization, *, seed: int = 0) -> Finding:
    """Return log|det J| by the power series of residual flows where it converges, and what it says where it does not.

    Args:
        lin: the unit at an input.
        seed: of the probes.
    """
    J_F = limited(branch_map(lin), evaluation_flops=flops_of(lin.parent.branch.forward, lin.x))
    try:
        return logdet_by_power_series(J_F, seed=seed)
    except EstimateTooLongError as error:
        return Finding.missing(Status.NOT_RUN, str(error))


def batch_of(function: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Return how many vectors may go through a function at once: 1 where it takes no batches or mixes their samples.

    Args:
        function: (B, *in_shape) -> (B, *out_shape).
        x: (1, *in_shape).
    """
    try:
        with torch.no_grad():
            alone, beside = function(x), function(torch.cat([x, 0.5 * x]))[:1]
    except RuntimeError:
        return 1
    # batched kernels may sum in another order
    close = alone.shape == beside.shape and torch.allclose(alone, beside, rtol=1e-4, atol=1e-6)
    room = int(_BATCH_BYTES / (x.element_size() * (x.numel() + alone.numel())))
    return max(1, min(_MOST_BATCH, room)) if close else 1


def _eigenvalues(J: LinearMap, flops: float, counts: bool, seed: int) -> LeftmostEigenvalues:
    needed = 2 * flops * _FEW_PRODUCTS
    if needed > MAX_FLOPS:
        reason = f"the leftmost eigenvalues need {needed:.2g} operations or more, {MAX_FLOPS:.2g} are allowed"
        lost = Finding.missing(Status.NOT_RUN, reason)
        return LeftmostEigenvalues(lost, lost, lost)
    guarded = limited(J, evaluation_flops=flops)

    def branch(v: Vector) -> Vector:
        column = torch.from_numpy(np.ascontiguousarray(v.reshape(1, -1))).to(J.device)
        return (guarded.apply(column) - column)[0].cpu().numpy()

    try:
        return leftmost_by_products(branch, J.columns, counts=counts, seed=seed)
    except EstimateTooLongError as error:
        lost = Finding.missing(Status.NOT_RUN, str(error))
        return LeftmostEigenvalues(lost, lost, lost)


def _allowed(max_bytes: float | None) -> float:
    return _MAX_BYTES if max_bytes is None else min(max_bytes, _MAX_BYTES)


def _because(found: Finding, because: str) -> Finding:
    if found.evidence is Evidence.EXACT:
        return found
    reason = because if found.reason is None else f"{because}; {found.reason}"
    return replace(found, reason=reason)
