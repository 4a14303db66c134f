"""½ log det JᵀJ by stochastic Lanczos quadrature, with an interval for chance and truncation together.

Bai, Fahey and Golub, J. Comput. Appl. Math. 74 (1996); Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38 (2017).
Own code, since matfree and traceax are for JAX, and GPyTorch's linear_operator and curvlinops, on torch, square the
condition and give a number without an interval. Deflation (Hutch++, XTrace) is left out: it sketches the range of
log JᵀJ, and a unit's logarithms are spread over the whole spectrum, where few probes deflate little.
"""

from __future__ import annotations

import math

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.bidiagonal import Bidiagonalization, random_frame
from resnet_diffeo_probe.jacobian.estimators.interval import eigenvector_mass, trace_half_width
from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap
from resnet_diffeo_probe.jacobian.estimators.quadrature import Rules, rules_of

__all__ = ["begun", "half_logdet_by_lanczos", "half_logdet_of"]

_FIRST_STEPS = 8
# Steps go on until truncation is this small a part of the interval that chance leaves anyway.
_TRUNCATION_SHARE = 0.1


def half_logdet_by_lanczos(
    J: LinearMap,
    *,
    probes: int = 16,
    max_steps: int = 96,
    max_bytes: float = 2**30,
    sigma_floor: float | None = None,
    seed: int = 0,
) -> Finding:
    """Estimate ½ log det of JᵀJ or JJᵀ, the smaller one; for a square J that is log|det J|. It gives no sign.

    Gauss rules bound every probe from above, Gauss–Radau rules with a node at a lower bound of sigma_min from below.
    Without a given bound, singular values are excluded that the probes would have shown except with probability
    0.2 %; where none can be, the lower end rests on J being numerically regular (sigma_min above rounding error), is
    far away, and `reason` says so.

    Args:
        J: products with the matrix.
        probes: random vectors, at least 2; n of them give the trace without chance.
        max_steps: of bidiagonalisation.
        max_bytes: memory for the bases; fewer steps are taken where they would not fit.
        sigma_floor: a proven lower bound of sigma_min, where one is known.
        seed: of the probes.

    Returns:
        An estimate with a 95 % interval; `UNDETERMINED` where J is singular to rounding error. The value is the
        middle of the Gauss rule and of the Gauss–Radau rule at half the smallest singular value seen.

    Raises:
        ValueError: fewer than two probes, of a matrix that needs more than one.
    """
    tall = J.tall
    if probes < 2 and tall.columns > 1:
        raise ValueError(f"an interval needs at least 2 probes, not {probes}")
    reduced = begun(tall, probes=probes, max_steps=max_steps, max_bytes=max_bytes, seed=seed)
    return half_logdet_of(reduced, tall, sigma_floor=sigma_floor, seed=seed)


def begun(tall: LinearMap, *, probes: int, max_steps: int, max_bytes: float, seed: int) -> Bidiagonalization:
    """Return a bidiagonalisation of which no step has been taken.

    Args:
        tall: with at least as many rows as columns.
        probes: random vectors.
        max_steps: of bidiagonalisation.
        max_bytes: memory for the bases; fewer steps are allowed where they would not fit.
        seed: of the probes.
    """
    count = min(probes, tall.columns)
    room = int(max_bytes / (8 * count * (tall.rows + tall.columns)))
    frame = random_frame(count, tall.columns, seed, tall.device)
    return Bidiagonalization(tall, frame, max(1, min(max_steps, room)))


def half_logdet_of(
    reduced: Bidiagonalization, tall: LinearMap, *, sigma_floor: float | None = None, seed: int = 0
) -> Finding:
    """Go on with a bidiagonalisation until ½ log det JᵀJ is as well known as its probes allow.

    Args:
        reduced: of `tall`, from a random orthonormal frame.
        tall: with at least as many rows as columns.
        sigma_floor: a proven lower bound of sigma_min, where one is known.
        seed: of the frame, for the record.

    Returns:
        As `half_logdet_by_lanczos`.
    """
    steps = max(_FIRST_STEPS, reduced.steps)
    while True:
        reduced.extend(steps)
        rules = rules_of(reduced)
        rounding = tall.eps * math.sqrt(tall.rows) * rules.largest
        if rules.smallest <= rounding:
            return Finding(
                None,
                Evidence.ESTIMATED,
                Status.UNDETERMINED,
                dtype=tall.dtype,
                seed=seed,
                reason="the matrix is singular to rounding error: its log-determinant is not known",
            )
        finding, truncation, chance = _bracket(rules, tall.columns, rounding, sigma_floor, seed, tall.dtype)
        if reduced.finished or truncation <= _TRUNCATION_SHARE * chance:
            return finding
        steps *= 2


def _bracket(
    rules: Rules, n: int, rounding: float, sigma_floor: float | None, seed: int, dtype: str
) -> tuple[Finding, float, float]:
    """Return the finding after some steps, the width of its truncation and half its width from chance."""
    count = len(rules.q)
    floor, known = rounding, sigma_floor is not None
    if sigma_floor is not None:
        floor = min(max(sigma_floor, rounding), rules.smallest)
    # the mass that an eigenvector has in the probes does not change with the steps: looking again costs no more risk
    floor = max(floor, rules.sigma_min_above(eigenvector_mass(count, n), floor))
    floor = min(floor, rules.smallest * (1 - 1e-6))  # a node of both kinds has no weights
    upper, lower = rules.gauss(), rules.radau(floor)
    guess = rules.radau(max(floor, rules.smallest / 2))
    high = n * float(upper.mean.mean())
    low = min(n * float(lower.mean.mean()), high)
    middle = (high + n * float(guess.mean.mean())) / 2
    chance_high = trace_half_width(n * upper.mean, n * upper.square, n)
    chance_low = trace_half_width(n * lower.mean, n * lower.square, n)
    # each singular value is off by rounding of the size of the largest, to first order
    slack = n * rounding / max(floor, rules.smallest / 2) + 1e-12 * (1 + abs(high))
    excluded = floor > 2 * rounding
    if excluded or known:
        reason = "no sign: the estimate sees JᵀJ only"
    else:
        reason = (
            "no sign: the estimate sees JᵀJ only; small singular values are not excluded by these products, so the "
            "lower end rests on sigma_min being above rounding error"
        )
    finding = Finding(
        min(max(middle, low), high),
        Evidence.ESTIMATED,
        interval=(low - chance_low - slack, high + chance_high + slack),
        dtype=dtype,
        seed=seed,
        reason=reason,
    )
    return finding, high - low, chance_high
