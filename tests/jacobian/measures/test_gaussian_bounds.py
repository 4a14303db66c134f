"""Bounds from Gaussian products: they hold as often as they say, and are not far from what they bound."""

from __future__ import annotations

import math
from statistics import median

import pytest
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.measures.gaussian_bounds import (
    frobenius_bound,
    logdet_remainder,
    probe_count,
    trace_interval,
)

D = torch.float64
N = 12
PROBES = probe_count(D)
NONE = torch.zeros(PROBES, dtype=D)


def matrices() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(N, N, dtype=D, generator=generator)
    direction = torch.randn(N, 1, dtype=D, generator=generator)
    nilpotent = torch.zeros(N, N, dtype=D)
    nilpotent[0, 1] = 1
    return {
        "dense": dense,
        "rank one": direction @ direction.mT,  # the norm of its products varies most
        "nilpotent": nilpotent,
        "identity": torch.eye(N, dtype=D),
        "indefinite": torch.diag(torch.tensor([1.0, -1.0] * (N // 2), dtype=D)),
        "one small, one large": torch.diag(torch.tensor([1e-8] * (N - 1) + [1.0], dtype=D)),
    }


@pytest.mark.parametrize("name", matrices())
@pytest.mark.parametrize("failure", [0.2, 0.01])
def test_the_bounds_fail_no_more_often_than_they_say(name: str, failure: float) -> None:
    matrix = matrices()[name]
    true, trace = float(torch.linalg.matrix_norm(matrix)), float(matrix.trace())
    generator = torch.Generator().manual_seed(1)
    repeats, missed_norm, missed_trace = 3000, 0, 0
    for _ in range(repeats):
        v = torch.randn(PROBES, N, dtype=D, generator=generator)
        images = v @ matrix.mT
        missed_norm += frobenius_bound(images, NONE, failure) < true
        low, high = trace_interval(v, images, true, failure)
        missed_trace += not low - 1e-12 <= trace <= high + 1e-12  # of the identity it is √n ‖R‖_F itself
    slack = 4 * math.sqrt(failure * repeats)
    assert missed_norm <= failure * repeats + slack
    assert missed_trace <= failure * repeats + slack


@pytest.mark.parametrize("name", matrices())
@pytest.mark.parametrize(("dtype", "factor"), [(torch.float64, 60), (torch.float32, 25)])
def test_at_their_own_probability_they_are_within_a_factor_of_the_truth(
    name: str, dtype: torch.dtype, factor: float
) -> None:
    matrix = matrices()[name]
    true = float(torch.linalg.matrix_norm(matrix))
    generator = torch.Generator().manual_seed(2)
    found, probes = [], probe_count(dtype)
    for _ in range(200):
        v = torch.randn(probes, N, dtype=D, generator=generator)
        found.append(frobenius_bound(v @ matrix.mT, torch.zeros(probes, dtype=D)))
    assert min(found) > true
    assert median(found) < factor * true


@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.3, 0.9])
def test_the_remainder_bounds_what_the_trace_leaves(size: float) -> None:
    for matrix in matrices().values():
        R = size * matrix / torch.linalg.matrix_norm(matrix)
        eigenvalues = torch.linalg.eigvals(R)
        # log(1 − λ) + λ without cancellation
        rest = torch.where(
            eigenvalues.abs() < 1e-4, -(eigenvalues**2) / 2, torch.log(1 - eigenvalues) + eigenvalues
        )
        assert abs(float(rest.sum().real)) <= logdet_remainder(size) * (1 + 1e-6) + 1e-24


def test_nothing_is_bounded_from_what_is_not_finite_or_not_below_one() -> None:
    images = torch.ones(PROBES, N, dtype=D)
    images[3, 4] = math.nan
    assert frobenius_bound(images, NONE) == math.inf
    assert logdet_remainder(1.0) == logdet_remainder(math.inf) == math.inf
