"""Bounds of a matrix R from its products with Gaussian vectors, and what they say of log|det(I − R)|.

For v with independent standard normal entries, E ‖R v‖² = ‖R‖_F² and E vᵀ R v = tr R. How far a few products can lie
below, or away from, these means is known without knowing R:

* Let q = Σ ‖R vᵢ‖² / (k ‖R‖_F²) with k vectors. E exp(−t ‖R v‖²) = Π (1 + 2tσᵢ²)^−½ ≤ (1 + 2t ‖R‖_F²)^−½, so by
  Markov's inequality at t = (1/c² − 1) / (2 ‖R‖_F²): P(q ≤ c²) ≤ (c exp((1 − c²)/2))^k < (c √e)^k.
* vᵀ R v − tr R = Σ λᵢ (gᵢ² − 1), λ the eigenvalues of the symmetric part, so that the mean of k of them is within
  2 ‖R‖_F √(x/k) + 2 ‖R‖_F x/k of tr R except with probability 2 exp(−x) (Laurent and Massart, Annals of Statistics 28,
  2000, lemma 1; its proof holds for coefficients of either sign).
* |log|det(I − R)| + tr R| ≤ Σ_{j ≥ 2} |tr Rʲ| / j ≤ −log(1 − f) − f for f = ‖R‖_F < 1, as |tr Rʲ| ≤ Σ |λᵢ|ʲ ≤ fʲ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["FAILURE", "frobenius_bound", "logdet_remainder", "probe_count", "trace_interval"]

#: Any one of the bounds fails with a probability below this; a check uses five of them.
FAILURE = 2e-9


def probe_count(dtype: torch.dtype) -> int:
    """Return how many vectors each bound is computed from.

    Of matrices of one kind, four, six and eight give bounds of log|det| as 22 : 3 : 1. Single precision needs eight. In
    double precision six leave signs as near to a singular matrix decided as four did when they bounded one norm alone;
    eight would take a tenth of the elimination more at n = 4,096.
    """
    return 6 if dtype == torch.float64 else 8


def frobenius_bound(images: Tensor, rounding: Tensor, failure: float = FAILURE) -> float:
    """Return an upper bound of ‖R‖_F.

    Args:
        images: (k, n), R v or Rᵀ v for k Gaussian vectors v.
        rounding: (k,) float64, allowances for the error of each image, in norm.
        failure: the probability with which the bound may fail.

    Returns:
        The bound; infinity where an image is not finite.
    """
    sizes = torch.linalg.vector_norm(images, dim=1, dtype=torch.float64)
    quantile = failure ** (1 / images.shape[0]) / math.sqrt(math.e)
    # the quantile is for how R v varies with v; the error of an image is as large for every v
    bound = float(sizes.square().mean().sqrt() / quantile + rounding.square().mean().sqrt())
    return bound if math.isfinite(bound) else math.inf


def trace_interval(
    vectors: Tensor, images: Tensor, frobenius: float, failure: float = FAILURE
) -> tuple[float, float]:
    """Return an interval for tr R.

    Args:
        vectors: (k, n), Gaussian vectors v.
        images: (k, n), R v or Rᵀ v.
        frobenius: a bound of ‖R‖_F.
        failure: the probability with which the interval may fail though `frobenius` holds.
    """
    probes = vectors.shape[0]
    mean = float((vectors.double() * images.double()).sum()) / probes
    x = math.log(2 / failure)
    tail = (2 * math.sqrt(x / probes) + 2 * x / probes) * frobenius
    most = math.sqrt(vectors.shape[1]) * frobenius  # |tr R| ≤ √n ‖R‖_F, whatever the vectors are
    return max(mean - tail, -most), min(mean + tail, most)


def logdet_remainder(frobenius: float) -> float:
    """Return a bound of |log|det(I − R)| + tr R| from one of ‖R‖_F; infinity where that is not below one."""
    return -math.log1p(-frobenius) - frobenius if frobenius < 1 else math.inf
