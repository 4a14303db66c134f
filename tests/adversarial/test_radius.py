"""Radii and bounds of the inverse where J is singular, or all but singular, at the centre or near it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.certificate_local import LocalCertificate, local_certificate
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import InverseBound, inverse_bound
from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error
from resnet_diffeo_probe.jacobian import UnitJacobian
from tests.bijectivity.conftest import unit_of

CASES = settings(max_examples=200, deadline=None)


def certified(unit: Any, x: Tensor, p: float) -> LocalCertificate:
    jacobian = UnitJacobian(unit)
    bounds = branch_bounds(jacobian)
    assert bounds is not None
    return local_certificate(jacobian.at(x).factorize(keep=True), bounds, p=p, sigma_min=1e300)


def checked(unit: Any, x: Tensor) -> InverseBound:
    jacobian = UnitJacobian(unit)
    bounds, forward = branch_bounds(jacobian), forward_error(jacobian, x)
    assert bounds is not None
    assert forward is not None
    return inverse_bound(jacobian.at(x).factorize(keep=True), bounds, forward)


def singular(n: int, seed: int, scale: int) -> Tensor:
    """Integers times a power of two, the last row a sum of others: exactly singular."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randint(-9, 10, (n, n), generator=generator).double()
    A[-1] = A[0] + A[1] - A[2]
    return A * 2.0**-scale


@CASES
@given(
    n=st.integers(4, 7),
    seed=st.integers(0, 9999),
    scale=st.integers(0, 24),
    p=st.sampled_from([2.0, math.inf]),
)
def test_no_ball_where_the_jacobian_is_singular(n: int, seed: int, scale: int, p: float) -> None:
    less_one = singular(n, seed, scale) - torch.eye(n, dtype=torch.float64)
    x = torch.rand(1, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    eight = torch.full((n,), 8.0, dtype=torch.float64)
    affine = unit_of([(F.linear, (less_one,))], (n,))
    # A times x + 8 where that is positive: a kernel direction within 7.5 of every x here
    kinked = unit_of(
        [(F.linear, (torch.eye(n, dtype=torch.float64), eight)), (F.relu, ()), (F.linear, (less_one,))], (n,)
    )
    for unit in (affine, kinked):
        found = certified(unit, x, p)
        assert found.radius == 0
        assert found.classical_radius in (None, 0)
        assert checked(unit, x).sigma_min == 0


def test_the_matrix_of_the_issue_is_singular_and_a_regular_neighbour_is_not() -> None:
    A = singular(4, 0, 19)
    assert int(torch.linalg.matrix_rank(A)) == 3
    A[-1, -1] += 1.0
    unit = unit_of([(F.linear, (A - torch.eye(4, dtype=torch.float64),))], (4,))
    assert certified(unit, torch.ones(1, 4, dtype=torch.float64), 2).radius is None


REACHED: list[bool] = []


@CASES
@given(
    n=st.integers(1, 6),
    seed=st.integers(0, 9999),
    ahead=st.floats(1e-6, 3.0),
    over=st.floats(1e-9, 2.0),
    p=st.sampled_from([2.0, math.inf]),
)
def test_no_ball_holds_a_fold(n: int, seed: int, ahead: float, over: float, p: float) -> None:
    """g folds where a coordinate of Q x passes `ahead`: x − (1 + over) relu(Q x − ahead) turned back by Qᵀ."""
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    bias = torch.full((n,), -ahead, dtype=torch.float64)
    unit = unit_of([(F.linear, (Q, bias)), (F.relu, ()), (F.linear, (-(1 + over) * Q.mT,))], (n,))
    found = certified(unit, torch.zeros(1, n, dtype=torch.float64), p)
    # the nearest fold: `ahead` along a row of Q; in the largest coordinate that is ahead / Σ|q|
    fold = ahead if p == 2 else ahead / float(Q.abs().sum(dim=1).max())
    assert found.radius is not None
    assert found.radius <= fold * (1 + 1e-12)
    REACHED.append(found.radius > 0.999 * fold)


def test_the_radii_are_not_zero_for_safety() -> None:
    assert sum(REACHED) > 0.9 * len(REACHED) > 100


BELOW: list[float] = []


@CASES
@given(
    n=st.integers(2, 8), seed=st.integers(0, 9999), condition=st.floats(0, 13), kind=st.sampled_from("alr")
)
def test_the_lower_bound_of_sigma_min_is_one(n: int, seed: int, condition: float, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    U, V = (torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q for _ in range(2))
    values = torch.logspace(0, -condition, n, dtype=torch.float64)
    J = U @ (values[:, None] * V.mT)
    eye = torch.eye(n, dtype=torch.float64)
    operations: list[Any] = [(F.linear, (J - eye,))]
    if kind != "a":
        act: Any = (F.relu, ()) if kind == "r" else (F.leaky_relu, (0.1,))
        operations = [(F.linear, (eye, torch.full((n,), 9.0).double())), act, *operations]
    unit = unit_of(operations, (n,))
    x = torch.zeros(1, n, dtype=torch.float64)
    found = checked(unit, x)
    # J as stored differs from U Σ Vᵀ, and this oracle from J, by some 1e-15
    assert found.sigma_min <= float(values[-1]) + 1e-14
    if condition < 9:
        BELOW.append(found.sigma_min / float(values[-1]))


def test_the_lower_bounds_are_near() -> None:
    assert len(BELOW) > 50
    assert sum(ratio > 0.9 for ratio in BELOW) > 0.9 * len(BELOW)


@pytest.mark.parametrize("seed", range(6))
def test_many_coordinates_are_bounded_by_vectors_and_say_so(seed: int) -> None:
    n = 300
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(n, n, generator=generator, dtype=torch.float64) / n**0.5
    unit = unit_of([(F.linear, (weight,)), (F.relu, ()), (F.linear, (0.7 * weight,))], (n,))
    x = torch.randn(1, n, generator=generator, dtype=torch.float64)
    found = checked(unit, x)
    true = float(torch.linalg.svdvals(unit.dense(x))[-1])
    assert 0.2 * true <= found.sigma_min <= true
    assert 0 < found.failure < 1e-8
    ball = certified(unit, x, 2)
    assert "except with a probability below" in ball.arithmetic
