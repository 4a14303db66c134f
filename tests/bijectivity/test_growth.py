"""Pairs followed apart, Newton's method, and pairs by clipping, each against the unit's own map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.inverse.newton import IterationEnd, newton
from resnet_diffeo_probe.bijectivity.search.clipped import pair_by_clipping
from resnet_diffeo_probe.bijectivity.search.fold import find_fold
from resnet_diffeo_probe.bijectivity.search.growth import grow
from resnet_diffeo_probe.bijectivity.search.piecewise import pair_at_fold
from resnet_diffeo_probe.bijectivity.witnesses.witness import check, in_orthant
from resnet_diffeo_probe.jacobian import UnitJacobian


@pytest.mark.parametrize("kind", ["dense", "basic", "bottleneck"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_grown_pairs_are_larger_and_still_have_one_image(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind)
    ends = unit.opposite()
    assume(ends is not None)
    jacobian = UnitJacobian(unit)
    fold = find_fold(jacobian, *ends, (1, -1))
    assert fold is not None
    x1, x2 = pair_at_fold(fold)
    assume(norm(x1 - x2) > 1e-4)
    grown = grow(jacobian, x1, x2, origin=fold.point, max_factorizations=20)
    assert grown.distance >= norm(x1 - x2)
    assert check(unit, "sum", grown.x1, grown.x2, "fold", jacobian=jacobian).is_proof


def test_a_fold_without_end_grows_as_far_as_asked(build_unit: Any) -> None:
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]], dtype=torch.float64),))], (1,))
    a, b = torch.tensor([[-1e-3]]).double(), torch.tensor([[5e-4]]).double()
    grown = grow(UnitJacobian(unit), a, b, origin=torch.zeros(1, 1).double(), largest=50.0)
    assert 50 <= grown.distance <= 150
    assert float(grown.x1) == pytest.approx(-2 * float(grown.x2))
    assert "as was asked" in grown.ended


def test_growth_stays_inside_the_domain(build_unit: Any) -> None:
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]], dtype=torch.float64),))], (1,))
    a, b = torch.tensor([[-1e-3]]).double(), torch.tensor([[5e-4]]).double()
    grown = grow(
        UnitJacobian(unit),
        a,
        b,
        origin=torch.zeros(1, 1).double(),
        inside=lambda x: bool((x > -1).all()),
        largest=50.0,
    )
    assert -1 < float(grown.x1) < -0.8
    assert "the domain ends" in grown.ended


def test_growth_obeys_its_budget(make_unit: Any) -> None:
    unit = make_unit(3, "basic")
    ends = unit.opposite()
    assert ends is not None
    jacobian = UnitJacobian(unit)
    fold = find_fold(jacobian, *ends, (1, -1))
    assert fold is not None
    grown = grow(jacobian, *pair_at_fold(fold), origin=fold.point, max_factorizations=2)
    assert grown.factorizations <= 2


@pytest.mark.parametrize("kind", ["dense", "deep", "tanh", "basic", "bottleneck"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_newton_reaches_the_image_of_a_near_point(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind, scale=0.4)
    x = unit.draw(seed)
    start = x + 0.1 * unit.draw(seed + 1)
    y = unit.sum_map(x)
    solved = newton(UnitJacobian(unit), y, start)
    assert solved.converged
    assert norm(unit.sum_map(solved.x) - y) <= 1e-12 * (1 + norm(y))


def test_newton_says_why_it_ended(build_unit: Any) -> None:
    # g(x) = x − 3 relu(x) is nowhere above zero: there is nothing to converge to
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]], dtype=torch.float64),))], (1,))
    one = torch.ones(1, 1, dtype=torch.float64)
    assert newton(UnitJacobian(unit), one, -one).outcome is IterationEnd.STALLED
    assert newton(UnitJacobian(unit), one, -one, max_factorizations=0).outcome is IterationEnd.EXHAUSTED
    flat = build_unit([(F.linear, (-torch.eye(2, dtype=torch.float64),))], (2,))
    zero = torch.zeros(1, 2, dtype=torch.float64)
    assert newton(UnitJacobian(flat), zero + 1, zero).outcome is IterationEnd.SINGULAR


@pytest.mark.parametrize("kind", ["dense", "tanh", "basic", "bottleneck"])
@pytest.mark.parametrize("orthant", [False, True])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_a_clipped_coordinate_gives_a_pair_of_the_whole_unit(
    make_unit: Any, kind: str, orthant: bool, seed: int
) -> None:
    unit = make_unit(seed, kind, activation="relu")
    x = unit.draw(seed)
    if orthant:
        x = x.abs() + 0.01
    assume(bool((unit.sum_map(x) < -1e-3).any()))
    assume(float(torch.linalg.cond(unit.dense(x))) < 1e3)
    pair = pair_by_clipping(UnitJacobian(unit), x, orthant=orthant)
    assert pair is not None
    assert pair[0] is x
    jacobian = UnitJacobian(unit)
    found = check(unit, "unit", *pair, "clipped coordinate", jacobian=jacobian)
    assert found.is_proof
    assert found.in_orthant or not orthant
    # the sum maps differ: it is the ReLU that makes the images one
    assert not check(unit, "sum", *pair, "clipped coordinate", jacobian=jacobian).is_proof


def test_nothing_clipped_is_no_pair(make_unit: Any, build_unit: Any) -> None:
    bare = build_unit([(F.linear, (torch.zeros(2, 2, dtype=torch.float64),))], (2,), activation="relu")
    assert pair_by_clipping(UnitJacobian(bare), torch.ones(1, 2, dtype=torch.float64)) is None
    singular = build_unit([(F.linear, (-torch.eye(2, dtype=torch.float64), -torch.ones(2).double()))], (2,))
    assert pair_by_clipping(UnitJacobian(singular), torch.ones(1, 2, dtype=torch.float64)) is None


def test_a_boundary_point_of_the_orthant_is_left_only_inwards(build_unit: Any) -> None:
    # g = x − (1, 1): both coordinates clipped at (0, ½); moving either down leaves the orthant at the first only
    unit = build_unit(
        [(F.linear, (torch.zeros(2, 2).double(), -torch.ones(2).double()))], (2,), activation="relu"
    )
    x = torch.tensor([[0.0, 0.5]]).double()
    pair = pair_by_clipping(UnitJacobian(unit), x, orthant=True)
    assert pair is not None
    assert in_orthant(pair[1])
