"""Sign and log|det| of a unit's Jacobian with the evidence that the sign can be trusted.

The computed sign is the exact sign of a nearby matrix. It is the sign of J as well if J stays non-singular on the
way from one to the other, which holds when R = I − J·(J⁻¹ as computed) has a norm below one. ‖R‖ is bounded with
random vectors, and J v is taken by automatic differentiation of the unit's own branch: the check shares no code
with the elimination, so a mistake in reading the branch shows as a large margin and not as a wrong sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearize import Linearization

__all__ = ["Determinant", "determinant"]

# For a Gaussian v, ‖R v‖ ≥ ‖R‖₂ |g| with g standard normal, and P(|g| < c) < 0.8 c. With k independent vectors the
# largest ‖R v‖ / c bounds ‖R‖₂ except with probability (0.8 c)^k (Dixon, SIAM J. Numer. Anal. 20, 1983).
_PROBES = 2
_QUANTILE = 1e-4  # two probes: the bound fails with probability below 6.4e-9


@dataclass(frozen=True)
class Determinant:
    """Sign and log|det| of J at one input.

    Attributes:
        sign: −1, 0, +1; `UNDETERMINED` where the margin is not below one, `ON_KINK` where the input lies on a kink.
        logabsdet: natural logarithm; `SINGULAR` where det J = 0.
        margin: upper bound (it fails with probability below 1e-8) of ‖I − J·J⁻¹‖₂; the sign is certain below one.
        factorization: for solves; None where J is singular.
    """

    sign: Finding
    logabsdet: Finding
    margin: Finding
    factorization: JacobianFactorization | None


def determinant(lin: Linearization, *, seed: int = 0) -> Determinant:
    """Compute sign and log|det| of J exactly and check the sign.

    Args:
        lin: the unit at an input.
        seed: of the random vectors of the check.
    """
    dtype = str(lin.x.dtype).removeprefix("torch.")
    try:
        factorization = lin.factorize(keep=True)
    except FloatingPointError as error:
        lost = Finding.missing(Status.ERROR, str(error))
        return Determinant(lost, lost, lost, None)
    if factorization.local_part_is_singular:
        reason = "the local part of J is singular, so the determinant lemma does not say what J is"
        unknown = Finding(None, Evidence.EXACT, Status.UNDETERMINED, dtype=dtype, reason=reason)
        return Determinant(unknown, unknown, unknown, None)
    if factorization.sign == 0:
        reason = "the elimination met a pivot that is exactly zero"
        none = Finding.missing(Status.SINGULAR, reason, Evidence.EXACT)
        margin = Finding.missing(Status.NOT_APPLICABLE, "J is singular", Evidence.NOT_APPLICABLE)
        return Determinant(Finding(0, status=Status.SINGULAR, dtype=dtype, reason=reason), none, margin, None)
    bound = solve_residual_bound(factorization, seed)
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


def solve_residual_bound(factorization: JacobianFactorization, seed: int) -> float:
    """Return an upper bound of ‖I − J·J⁻¹‖₂, J by automatic differentiation and J⁻¹ as computed.

    Returns:
        The bound; infinite where a solve overflowed. It fails with probability below 1e-8.
    """
    lin = factorization.linearization
    generator = torch.Generator().manual_seed(seed)
    probes = torch.randn(_PROBES, *lin.x.shape[1:], generator=generator, dtype=torch.float64).to(lin.x)
    solved = factorization.solve(probes)
    worst = 0.0
    for v, w in zip(probes.split(1), solved.split(1), strict=True):
        residual = float(torch.linalg.vector_norm(v - lin.apply_by_autograd(w)))
        worst = max(worst, residual if math.isfinite(residual) else math.inf)
    return worst / _QUANTILE
