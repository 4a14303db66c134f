"""Confidence intervals of a trace from probes on the sphere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.stats

__all__ = ["CONFIDENCE", "SPECTRUM_RISK", "eigenvector_mass", "trace_half_width"]

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
# The part of the 5 % that is spent on the probability that a bound of the spectrum fails.
SPECTRUM_RISK = 0.002


def trace_half_width(samples: Array, squares: Array, dimension: int) -> float:
    """Return the half-width of the t-interval of tr L from samples n vᵀLv, v rows of a random orthonormal frame.

    For v uniform on the sphere the variance is 2n/(n+2)·(tr L² − (tr L)²/n). The probes estimate it twice: by their
    own spread, and by their estimates n vᵀL²v of tr L². The larger one is taken: where few eigenvalues carry the
    trace, samples are skewed, and a small mean goes with a small spread (a t-interval alone then misses too often).

    Args:
        samples: (m,) n vᵀLv.
        squares: (m,) n vᵀL²v.
        dimension: n. The frame's vectors are orthogonal, so that m = n gives the trace itself.
    """
    count, n = len(samples), dimension
    if count == n:
        return 0.0
    spread = float(samples.var(ddof=1))
    moment = 2 * n / (n + 2) * max(0.0, float(squares.mean()) - float(samples.mean()) ** 2 / n)
    # sampling without replacement from an orthonormal basis
    correction = (n - count) / (n - 1)
    quantile = float(scipy.stats.t.ppf(0.5 + (CONFIDENCE + SPECTRUM_RISK) / 2, count - 1))
    return quantile * math.sqrt(max(spread, moment) * correction / count)


def eigenvector_mass(count: int, dimension: int, risk: float = SPECTRUM_RISK) -> float:
    """Return a mass that any fixed unit vector has in the span of a random frame, except with a small risk.

    The squared length of its projection is Beta(m/2, (n − m)/2). An eigenvalue with less mass than this in all the
    probes' spectral measures together is excluded with that risk.

    Args:
        count: m vectors of the frame.
        dimension: n.
        risk: the probability of less mass.
    """
    if count == dimension:
        return 1.0
    return float(scipy.stats.beta.ppf(risk, count / 2, (dimension - count) / 2))
