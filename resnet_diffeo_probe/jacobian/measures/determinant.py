"""Sign and log|det| of a unit's Jacobian, with the evidence that the sign can be trusted and bounds of the logarithm.

What elimination computes is the exact determinant of a nearby matrix. How far that is from J is checked with random
vectors (`check.py`): the sign is that of J where the margin is below one, and log|det J| lies in its interval. The
check goes through the unit's own branch by automatic differentiation and shares no code with the elimination, so a
mistake in reading the branch shows as a large margin and a wide interval, and not as a wrong number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.elimination.rows import factorize, factorize_and_solve_transpose
from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.check import Check, checked, probes_of, right_hand_sides
from resnet_diffeo_probe.jacobian.measures.exact_zero import why_singular

__all__ = ["Determinant", "concluded", "determinant"]

#: Half of the interval of log|det|, relative to max(1, |log|det||), from which on it is said how wide it is.
_WIDE = 1e-6


@dataclass(frozen=True)
class Determinant:
    """Sign and log|det| of J at one input.

    Attributes:
        sign: −1, 0, +1; `UNDETERMINED` where the margin is not below one, `ON_KINK` where the input lies on a kink. 0
            is `SINGULAR`, and proven: a pivot of zero alone leaves the sign undetermined.
        logabsdet: natural logarithm, with an interval that fails with a probability below 1e-8; `UNDETERMINED`, with
            the value that was computed if any was, where the margin is not below one; `SINGULAR` where det J = 0.
        margin: upper bound (it fails with a probability below 1e-8) of the norms that `check` speaks of; the sign is
            certain below one.
        factorization: for solves, if its factors were kept; None where J is singular, or a pivot was zero.
    """

    sign: Finding
    logabsdet: Finding
    margin: Finding
    factorization: JacobianFactorization | None


def determinant(lin: Linearization, *, seed: int = 0, keep: bool = True) -> Determinant:
    """Compute sign and log|det| of J by a direct method, check the sign and bound the error of the logarithm.

    Args:
        lin: the unit at an input.
        seed: of the random vectors of the check.
        keep: keep the factors for solves. Without, less than half of their memory is needed (`factor_bytes`).
    """
    probes = probes_of(lin, seed)
    right = right_hand_sides(lin, probes)
    try:
        if keep:
            blocks = factorize(lin.reduced.system(), keep=True)
            solved = blocks.solve(right, transpose=True) if blocks.sign else None
        else:
            blocks, solved = factorize_and_solve_transpose(lin.reduced.system(), right)
        found, check = checked(lin, probes, blocks, solved)
        return concluded(found, check, seed=seed)
    except FloatingPointError as error:
        lost = Finding.missing(Status.ERROR, str(error))
        return Determinant(lost, lost, lost, None)


def concluded(factorization: JacobianFactorization, check: Check, *, seed: int) -> Determinant:
    """Return what a factorisation and its check say.

    Args:
        factorization: of J.
        check: of its determinant.
        seed: of the random vectors of the check.

    Raises:
        FloatingPointError: a pivot of the terms of low rank is not finite.
    """
    lin = factorization.linearization
    dtype = str(lin.x.dtype).removeprefix("torch.")
    if not check.margin < 1 and (proof := why_singular(lin)) is not None:
        margin = Finding.missing(Status.NOT_APPLICABLE, "J is singular", Evidence.NOT_APPLICABLE)
        none = Finding.missing(Status.SINGULAR, proof, Evidence.EXACT)
        return Determinant(Finding(0, status=Status.SINGULAR, dtype=dtype, reason=proof), none, margin, None)
    if factorization.sign == 0:
        return _without_pivots(factorization, dtype)
    if not check.margin < 1:
        return _undecided(factorization, check.margin, dtype, seed)
    margin = Finding(check.margin, Evidence.ESTIMATED, dtype=dtype, seed=seed)
    logabsdet = _logabsdet(factorization, check, dtype, seed)
    if not lin.kinks:
        return Determinant(Finding(factorization.sign, dtype=dtype), logabsdet, margin, factorization)
    reason = (
        f"{lin.kinks} pre-activations are on a kink, to rounding: J is one of several one-sided Jacobians, that of the "
        "derivative which torch takes there"
    )
    sign = Finding(factorization.sign, status=Status.ON_KINK, dtype=dtype, reason=reason)
    of_one = reason if logabsdet.reason is None else f"{logabsdet.reason}; {reason}"
    return Determinant(sign, replace(logabsdet, reason=of_one), margin, factorization)


def _undecided(factorization: JacobianFactorization, margin: float, dtype: str, seed: int) -> Determinant:
    """Return that the sign is not known, and the logarithm only as it was computed."""
    if math.isfinite(margin):
        reason = f"J is within rounding error of a singular matrix (margin {margin:.1e}, to be below 1)"
        if (gain := _gain(factorization.linearization, seed)) * torch.finfo(getattr(torch, dtype)).eps >= 1:
            reason = (
                f"x is lost in rounding beside F(x), which is about {gain:.0e} times as large: solves with J subtract "
                f"numbers of that size, and the check of the sign fails (margin {margin:.1e}, to be below 1)"
            )
        bound = Finding(margin, Evidence.ESTIMATED, dtype=dtype, seed=seed)
    else:
        reason = (
            f"the check of the sign left the range of {dtype}: numbers in J, or in its inverse, are too large, as "
            "where activations grow from unit to unit"
        )
        bound = Finding.missing(Status.INFINITE, reason)
    reason += _more_digits(dtype)
    sign = Finding(None, Evidence.EXACT, Status.UNDETERMINED, dtype=dtype, reason=reason)
    logabsdet = Finding(factorization.logabsdet, status=Status.UNDETERMINED, dtype=dtype, reason=reason)
    return Determinant(sign, logabsdet, bound, factorization)


def _gain(lin: Linearization, seed: int) -> float:
    """Return how much longer J makes a random vector."""
    u = probes_of(lin, seed).outer[:1]
    return float(torch.linalg.vector_norm(lin.apply_transpose(u)) / torch.linalg.vector_norm(u))


def _without_pivots(factorization: JacobianFactorization, dtype: str) -> Determinant:
    """Return that nothing is known: a pivot came out as zero, which proves nothing of J."""
    if factorization.local_part_is_singular:
        reason = (
            "a pivot of J without its gates and group norms came out as exactly zero, and J is only reached from there "
            "by the determinant lemma"
        )
    else:
        reason = (
            "a pivot came out as exactly zero: J is singular, or so near to it that rounding hides the side on which "
            "it lies"
        )
    reason += _more_digits(dtype) or "; other inputs may decide"
    unknown = Finding(None, Evidence.EXACT, Status.UNDETERMINED, dtype=dtype, reason=reason)
    return Determinant(unknown, unknown, Finding.missing(Status.INFINITE, reason), None)


def _more_digits(dtype: str) -> str:
    return "; --dtype float64 has nine more digits" if dtype == "float32" else ""


def _logabsdet(factorization: JacobianFactorization, check: Check, dtype: str, seed: int) -> Finding:
    """Return log|det J| with its interval, ends rounded outward."""
    value, rounding = factorization.logabsdet, factorization.logabsdet_rounding
    low = math.nextafter(value + check.low - rounding, -math.inf)
    high = math.nextafter(value + check.high + rounding, math.inf)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Finding(value, dtype=dtype, reason="the rounding error of this value was not bounded")
    half = (high - low) / 2
    reason = None
    if half > _WIDE * max(1.0, abs(value)):
        reason = f"rounding errors may have moved this value by up to {half:.1e}"
        reason += _more_digits(dtype) or ": J is nearly singular"
    return Finding(value, interval=(low, high), dtype=dtype, seed=seed, reason=reason)
