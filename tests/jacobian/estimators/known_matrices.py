"""Matrices whose log|det| is known, from those that are easy to estimate to those that are not."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.finding import Evidence, Finding
from resnet_diffeo_probe.jacobian.estimators import (
    LinearMap,
)
from resnet_diffeo_probe.jacobian.linearized.dense import dense_jacobian

D = torch.float64


def matrix_map(matrix: np.ndarray) -> LinearMap:
    M = torch.as_tensor(matrix)
    return LinearMap(
        *M.shape, lambda v: v @ M.mT, lambda u: u @ M, float(np.finfo(np.float64).eps), torch.device("cpu")
    )


def orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def with_singular_values(sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(sigma)
    return orthogonal(n, rng) @ np.diag(sigma) @ orthogonal(n, rng)


def ill_conditioned(n: int, rng: np.random.Generator) -> np.ndarray:
    return with_singular_values(np.geomspace(10 ** rng.uniform(-9, -1), 4, n), rng)


def one_small(n: int, rng: np.random.Generator) -> np.ndarray:
    """The hardest for a t-interval: one direction carries the logarithm."""
    sigma = rng.uniform(0.9, 1.1, n)
    sigma[0] = 10 ** rng.uniform(-8, -2)
    return with_singular_values(sigma, rng)


def indefinite(n: int, rng: np.random.Generator) -> np.ndarray:
    q = orthogonal(n, rng)
    return q @ np.diag(rng.uniform(0.2, 2, n) * rng.choice([-1, 1], n)) @ q.T


def near_identity(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.eye(n) + rng.uniform(0.05, 0.4) * rng.standard_normal((n, n)) / math.sqrt(n)


def non_normal(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.eye(n) * rng.uniform(0.5, 1.5) + np.triu(rng.standard_normal((n, n)), 1) * 0.5


def square_gaussian(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, n)) / math.sqrt(n)


KINDS = (ill_conditioned, one_small, indefinite, near_identity, non_normal, square_gaussian)


def unit_jacobian(rng: np.random.Generator) -> np.ndarray:
    """I + W₂ D W₁ with circulant-free 3×3 convolutions and a half-active ReLU."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    weights = [torch.randn(3, 3, 3, 3, dtype=D, generator=generator) * rng.uniform(0.1, 0.6) for _ in "12"]
    x = torch.randn(1, 3, 5, 5, dtype=D, generator=generator)

    def sum_map(v: torch.Tensor) -> torch.Tensor:
        return v + F.conv2d(F.relu(F.conv2d(v, weights[0], padding=1)), weights[1], padding=1)

    return dense_jacobian(sum_map, x).numpy()


def covered(found: Finding, exact: float) -> bool:
    assert found.interval is not None and found.value is not None
    assert found.evidence is Evidence.ESTIMATED
    assert found.interval[0] <= found.value <= found.interval[1]
    return found.interval[0] <= exact <= found.interval[1]
