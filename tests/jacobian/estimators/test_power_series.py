"""The power series of residual flows: its interval where it converges, and that it is refused elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.estimators import (
    logdet_by_power_series,
)
from resnet_diffeo_probe.jacobian.estimators.power_series import contraction_of, series_samples
from tests.jacobian.estimators.known_matrices import (
    covered,
    matrix_map,
    square_gaussian,
)


def test_intervals_of_the_power_series_cover_known_answers() -> None:
    rng = np.random.default_rng(7)
    missed, total = 0, 0
    for case in range(120):
        n = int(rng.integers(20, 100))
        radius = rng.uniform(0.1, 0.8)
        if case % 2:  # a norm above one, a spectral radius below
            J_F = np.diag(rng.uniform(-0.3, 0.3, n)) + np.diag(rng.uniform(0.5, 0.9, n - 1), 1)
            J_F[-1] *= radius
        else:
            J_F = radius * rng.standard_normal((n, n)) / (2 * math.sqrt(n))
        found = logdet_by_power_series(matrix_map(J_F), probes=int(rng.integers(4, 17)), seed=case)
        if found.value is None:
            assert case % 2 and found.status is Status.NOT_CONVERGED
            continue
        total += 1
        missed += not covered(found, float(np.linalg.slogdet(np.eye(n) + J_F)[1]))
    assert total > 90
    assert missed <= 0.07 * total


def test_the_series_is_refused_where_it_diverges() -> None:
    rng = np.random.default_rng(11)
    J_F = square_gaussian(60, rng) * 1.5
    found = logdet_by_power_series(matrix_map(J_F))
    assert (found.value, found.status) == (None, Status.NOT_APPLICABLE)
    assert "diverges" in str(found.reason)
    # what it would have said: the partial sums run away from the answer, and nothing in them tells
    exact = float(np.linalg.slogdet(np.eye(60) + J_F)[1])
    sums = series_samples(matrix_map(J_F), 60, probes=60).mean(axis=1)
    assert abs(sums[-1] - exact) > 10 * abs(sums[3] - exact)


def test_the_series_is_refused_where_convergence_is_not_established() -> None:
    J_F = np.diag(np.full(39, 5.0), 1)  # nilpotent: ρ = 0, but sixteen powers grow
    found = logdet_by_power_series(matrix_map(J_F))
    assert (found.value, found.status) == (None, Status.NOT_CONVERGED)
    known = contraction_of(matrix_map(np.diag(np.full(39, 0.5), 1)))
    assert known.power == 1
    assert known.bound == pytest.approx(0.5, rel=0.2)


def test_the_tail_bound_bounds_the_tail() -> None:
    rng = np.random.default_rng(9)
    J_F = np.diag(rng.uniform(-0.4, 0.4, 30)) + np.diag(np.full(29, 0.7), 1)
    known = contraction_of(matrix_map(J_F))
    assert known.power is not None and known.power > 1
    for first in (1, 5, 20):
        norms, power = [], np.linalg.matrix_power(J_F, first)
        for k in range(first, first + 400):
            norms.append(np.linalg.norm(power, 2) / k)
            power = power @ J_F
        assert sum(norms) <= known.tail(first)
