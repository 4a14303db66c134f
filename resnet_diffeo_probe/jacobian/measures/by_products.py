"""What products with a Jacobian tell of it: log-determinant, extreme singular values, sometimes the rank.

One bidiagonalisation serves them all. Everything here is an estimate with an interval; none of it is a sign.
"""

from __future__ import annotations

import math

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.interval import eigenvector_mass
from resnet_diffeo_probe.jacobian.estimators.lanczos_quadrature import begun, half_logdet_of
from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap
from resnet_diffeo_probe.jacobian.estimators.quadrature import Rules, rules_of
from resnet_diffeo_probe.jacobian.estimators.work import (
    MAX_FLOPS,
    EstimateTooLongError,
    affordable_effort,
    limited,
)

__all__ = ["PRODUCT_QUANTITIES", "measures_by_products"]

PRODUCT_QUANTITIES = ("rank", "half_logdet", "sigma_min", "sigma_max")

# The interval of sigma_min is an answer where its ends are within this factor.
_RESOLVED = 1.5


def measures_by_products(
    J: LinearMap,
    evaluation_flops: float,
    *,
    max_bytes: float,
    max_flops: float = MAX_FLOPS,
    extremes: bool = True,
    seed: int = 0,
) -> dict[str, Finding]:
    """Estimate what products tell of a matrix, within bounded memory, operations and time.

    Args:
        J: the matrix.
        evaluation_flops: of the function whose derivative it is (`estimators.work.flops_of`).
        max_bytes: memory for the bases of the iterations.
        max_flops: operations for all of it.
        extremes: whether singular values and rank are wanted: the iterations then go on for them.
        seed: of the probes.

    Returns:
        A finding for each of `PRODUCT_QUANTITIES`, `half_logdet` alone without `extremes`; `NOT_RUN` with the reason
        where memory, operations or time do not suffice.
    """
    wanted = PRODUCT_QUANTITIES if extremes else ("half_logdet",)
    effort = affordable_effort(J, evaluation_flops, max_bytes=max_bytes, max_flops=max_flops)
    if isinstance(effort, str):
        return dict.fromkeys(wanted, Finding.missing(Status.NOT_RUN, effort))
    tall = limited(J.tall)
    try:
        reduced = begun(tall, probes=effort.probes, max_steps=effort.steps, max_bytes=max_bytes, seed=seed)
        half = half_logdet_of(reduced, tall, seed=seed)
        if not extremes:
            return {"half_logdet": half}
        reduced.extend(effort.steps)
    except EstimateTooLongError as error:
        return dict.fromkeys(wanted, Finding.missing(Status.NOT_RUN, str(error)))
    rules = rules_of(reduced)
    mass = eigenvector_mass(min(effort.probes, tall.columns), tall.columns)
    rounding = tall.eps * max(tall.rows, tall.columns) * rules.largest
    low = rules.sigma_min_above(mass, min(rounding, rules.smallest))
    return {
        "rank": _rank(tall, low, rounding, seed),
        "half_logdet": half,
        "sigma_min": _sigma_min(rules, low, rounding, tall.dtype, seed),
        "sigma_max": _sigma_max(rules, mass, rounding, tall.dtype, seed),
    }


def _rank(J: LinearMap, low: float, rounding: float, seed: int) -> Finding:
    if low > rounding:
        return Finding(
            J.columns,
            Evidence.ESTIMATED,
            seed=seed,
            reason=f"full: sigma_min is above {low:.2e} except with probability 0.2 %",
        )
    return Finding.missing(
        Status.NOT_CONVERGED,
        f"products do not tell the rank of a matrix of {J.rows} x {J.columns} whose small singular values they do not "
        "exclude; where it is small enough, the full budget computes the matrix",
    )


def _sigma_max(rules: Rules, mass: float, rounding: float, dtype: str, seed: int) -> Finding:
    high = rules.sigma_max_below(mass) + rounding
    known = math.isfinite(high)
    return Finding(
        rules.largest,
        Evidence.ESTIMATED,
        Status.OK if known else Status.NOT_CONVERGED,
        interval=(rules.largest - rounding, high) if known else None,
        dtype=dtype,
        seed=seed,
        reason="the upper end fails with probability below 0.2 %" if known else "the value is a lower bound",
    )


def _sigma_min(rules: Rules, low: float, rounding: float, dtype: str, seed: int) -> Finding:
    high = rules.smallest
    resolved = low > rounding and high <= _RESOLVED * low
    return Finding(
        high,
        Evidence.ESTIMATED,
        Status.OK if resolved else Status.NOT_CONVERGED,
        interval=(low if low > rounding else 0.0, high + rounding),
        dtype=dtype,
        seed=seed,
        reason="the value is an upper bound; the lower end of the interval fails with probability below 0.2 %",
    )
