"""Sign and log|det| of a unit's Jacobian with the evidence that the sign can be trusted.

The computed sign is the exact sign of a nearby matrix. It is the sign of J as well if J stays non-singular on the
way from one to the other, which holds when R = I − (J⁻¹ as computed)·J has a norm below one. ‖Rᵀ‖ is bounded with
random vectors, and Jᵀ u is taken by automatic differentiation of the unit's own branch: the check shares no code
with the elimination, so a mistake in reading the branch shows as a large margin and not as a wrong sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearize import Linearization

__all__ = ["Determinant", "concluded", "determinant", "probes_of", "residual_bound"]

# For a Gaussian v, ‖R v‖ ≥ ‖R‖₂ |g| with g standard normal, and P(|g| < c) < 0.8 c. With k independent vectors the
# largest ‖R v‖ / c bounds ‖R‖₂ except with probability (0.8 c)^k (Dixon, SIAM J. Numer. Anal. 20, 1983).
_PROBES = 4
_QUANTILE = 0.0118  # four probes: the bound fails with probability below 8e-9


@dataclass(frozen=True)
class Determinant:
    """Sign and log|det| of J at one input.

    Attributes:
        sign: −1, 0, +1; `UNDETERMINED` where the margin is not below one, `ON_KINK` where the input lies on a kink.
        logabsdet: natural logarithm; `SINGULAR` where det J = 0.
        margin: upper bound (it fails with probability below 1e-8) of ‖I − J⁻¹·J‖₂; the sign is certain below one.
        factorization: for solves, if its factors were kept; None where J is singular.
    """

    sign: Finding
    logabsdet: Finding
    margin: Finding
    factorization: JacobianFactorization | None


def determinant(lin: Linearization, *, seed: int = 0, keep: bool = True) -> Determinant:
    """Compute sign and log|det| of J exactly and check the sign.

    Args:
        lin: the unit at an input.
        seed: of the random vectors of the check.
        keep: keep the factors for solves. Without, less than half of their memory is needed (`factor_bytes`).
    """
    try:
        factorization, bound = _factorize_and_check(lin, seed, keep=keep)
    except FloatingPointError as error:
        lost = Finding.missing(Status.ERROR, str(error))
        return Determinant(lost, lost, lost, None)
    return concluded(factorization, bound, seed=seed)


def concluded(factorization: JacobianFactorization, bound: float, *, seed: int) -> Determinant:
    """Return what a factorisation and its check say.

    Args:
        factorization: of J.
        bound: the margin; infinite where J is singular or a solve overflowed.
        seed: of the random vectors of the check.
    """
    lin = factorization.linearization
    dtype = str(lin.x.dtype).removeprefix("torch.")
    if factorization.local_part_is_singular:
        reason = "the local part of J is singular, so the determinant lemma does not say what J is"
        unknown = Finding(None, Evidence.EXACT, Status.UNDETERMINED, dtype=dtype, reason=reason)
        return Determinant(unknown, unknown, unknown, None)
    if factorization.sign == 0:
        reason = "the elimination met a pivot that is exactly zero: J is singular to rounding error"
        none = Finding.missing(Status.SINGULAR, reason, Evidence.EXACT)
        margin = Finding.missing(Status.NOT_APPLICABLE, "J is singular", Evidence.NOT_APPLICABLE)
        return Determinant(Finding(0, status=Status.SINGULAR, dtype=dtype, reason=reason), none, margin, None)
    margin = (
        Finding(bound, Evidence.ESTIMATED, dtype=dtype, seed=seed)
        if math.isfinite(bound)
        else Finding.missing(Status.ERROR, "the solves of the check overflowed")
    )
    logabsdet = Finding(factorization.logabsdet, dtype=dtype)
    if not bound < 1:
        reason = f"J is within rounding error of a singular matrix (margin {bound:.1e}, to be below 1)"
        sign = Finding(None, Evidence.EXACT, Status.UNDETERMINED, dtype=dtype, reason=reason)
        logabsdet = Finding(factorization.logabsdet, status=Status.UNDETERMINED, dtype=dtype, reason=reason)
    elif lin.kinks:
        reason = f"{lin.kinks} pre-activations are exactly on a kink: J is one of several one-sided Jacobians"
        sign = Finding(factorization.sign, status=Status.ON_KINK, dtype=dtype, reason=reason)
    else:
        sign = Finding(factorization.sign, dtype=dtype)
    return Determinant(sign, logabsdet, margin, factorization)


def _factorize_and_check(lin: Linearization, seed: int, *, keep: bool) -> tuple[JacobianFactorization, float]:
    """Return the factorisation and the margin, which is infinite where J is singular or a solve overflowed."""
    probes = probes_of(lin, seed)
    if keep:
        found = lin.factorize(keep=True)
        solved = found.solve_transpose(probes) if found.sign else None
    else:
        found, solved = lin.factorize_and_solve_transpose(probes)
    return found, math.inf if solved is None else residual_bound(lin, probes, solved)


def probes_of(lin: Linearization, seed: int) -> Tensor:
    """Return the Gaussian vectors of the check, (k, *shape)."""
    # drawn on the CPU in float64 whatever the device and dtype: the same vectors everywhere
    generator = torch.Generator().manual_seed(seed)
    shape = (_PROBES, *lin.x.shape[1:])
    return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").to(lin.x)


def residual_bound(lin: Linearization, probes: Tensor, solved: Tensor) -> float:
    """Return an upper bound of ‖I − J⁻¹·J‖₂ from probes u and w = J⁻ᵀ u as computed."""
    residuals = torch.linalg.vector_norm((probes - lin.apply_transpose_by_autograd(solved)).flatten(1), dim=1)
    worst = float(residuals.max())  # NaN where one is
    return worst / _QUANTILE if math.isfinite(worst) else math.inf
