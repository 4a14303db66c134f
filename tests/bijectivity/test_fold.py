"""Folds of piecewise linear maps and the pairs at them, against dense Jacobians of the unit's own map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.search.fold import find_fold, sign_changes
from resnet_diffeo_probe.bijectivity.search.piecewise import pair_at_fold
from resnet_diffeo_probe.bijectivity.witnesses.witness import check
from resnet_diffeo_probe.jacobian import UnitJacobian

PIECEWISE = ["dense", "leaky", "deep", "basic", "bottleneck"]


@pytest.mark.parametrize("kind", PIECEWISE)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_a_pair_at_the_fold_between_opposite_signs_is_a_proof(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind)
    ends = unit.opposite()
    assume(ends is not None)
    a, b = ends
    fold = find_fold(UnitJacobian(unit), a, b, (1, -1))
    assert fold is not None
    # the oracle: dense Jacobians in the two cells, of opposite sign and a rank-one matrix apart
    before, after = unit.dense(fold.before.x), unit.dense(fold.after.x)
    assert torch.linalg.slogdet(before).sign * torch.linalg.slogdet(after).sign == -1
    singular = torch.linalg.svdvals(after - before)
    assert singular[1] <= 1e-12 * singular[0]
    # and the ratio of the determinants is −κ
    assert float(torch.linalg.det(after) / torch.linalg.det(before)) == pytest.approx(-fold.kappa, rel=1e-6)
    x1, x2 = pair_at_fold(fold)
    found = check(unit, "sum", x1, x2, "fold", jacobian=UnitJacobian(unit))
    assert found.distance > 0
    # rounding of the map is about 1e-15; a pair large enough for it not to matter is a proof
    if found.relative_distance > 1e-5:
        assert found.is_proof
    assert found.gap <= 1e-13 * (1 + norm(x1))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_the_fold_lies_on_the_segment_and_on_the_kink(make_unit: Any, seed: int) -> None:
    unit = make_unit(seed, "dense")
    ends = unit.opposite()
    assume(ends is not None)
    a, b = ends
    fold = find_fold(UnitJacobian(unit), b, a, (-1, 1))
    assert fold is not None
    assert 0 < fold.position < 1
    torch.testing.assert_close(fold.point, torch.lerp(b, a, fold.position))
    z = UnitJacobian(unit).at(fold.point).pre_activations[fold.hidden.cut - 1].reshape(-1)
    assert abs(float(z[fold.hidden.index]) - fold.hidden.kink) < 1e-9
    assert fold.distance == pytest.approx(
        norm(fold.point - (b, a)[fold.nearest]) / norm((b, a)[fold.nearest])
    )


def test_one_dimension_folds_where_it_must(build_unit: Any) -> None:
    # g(x) = x − 3 relu(x): slope 1 below zero, −2 above it, κ = 2
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]], dtype=torch.float64),))], (1,))
    a, b = torch.tensor([[-1.0]]).double(), torch.tensor([[2.0]]).double()
    fold = find_fold(UnitJacobian(unit), a, b, (1, -1))
    assert fold is not None
    assert float(fold.point) == pytest.approx(0, abs=1e-15)
    assert fold.kappa == pytest.approx(2)
    assert (fold.distance, fold.nearest) == (pytest.approx(1), 0)
    x1, x2 = pair_at_fold(fold, room=torch.tensor([[0.5]]).double())
    assert float(x1) < 0 < float(x2)
    assert float(x1) == pytest.approx(-2 * float(x2))
    assert max(abs(float(x1)), abs(float(x2))) <= 0.5


def test_room_keeps_both_points_in_the_orthant(make_unit: Any) -> None:
    tried = 0
    for seed in range(12):
        unit = make_unit(seed, "dense", scale=2.5)
        jacobian = UnitJacobian(unit)
        points = [unit.draw(s).abs() + 0.01 for s in range(40)]
        signs = [unit.sign(x) for x in points]
        if 1 not in signs or -1 not in signs:
            continue
        tried += 1
        fold = find_fold(jacobian, points[signs.index(1)], points[signs.index(-1)], (1, -1))
        assert fold is not None
        x1, x2 = pair_at_fold(fold, room=fold.point)
        assert bool((x1 >= 0).all() and (x2 >= 0).all())
        assert norm(x1 - x2) > 0
    assert tried >= 3


def test_sign_changes_near_an_end_come_first() -> None:
    signs = {0.0: 1, 0.25: 1, 0.5: -1, 0.75: -1, 0.9: 0, 0.95: -1, 1.0: 1}
    nodes = (0.25, 0.5, 0.75, 0.9, 0.95)
    assert sign_changes(signs.__getitem__, nodes) == [(0.95, 1.0), (0.25, 0.5)]


def test_equal_signs_and_smooth_activations_are_refused(make_unit: Any) -> None:
    unit = make_unit(0, "dense")
    x = unit.draw(0)
    with pytest.raises(ValueError, match="not opposite"):
        find_fold(UnitJacobian(unit), x, x, (1, 1))
    smooth = make_unit(0, "tanh")
    with pytest.raises(ValueError, match="piecewise linear"):
        find_fold(UnitJacobian(smooth), x, x, (1, -1))


def test_a_kink_that_two_units_share_is_no_crossing_of_one(build_unit: Any) -> None:
    # two copies of one hidden unit cross at the same place: no single unit changes the sign
    first = torch.tensor([[1.0], [1.0]], dtype=torch.float64)
    second = torch.tensor([[-1.0, -1.0]], dtype=torch.float64)
    unit = build_unit([(F.linear, (first,)), (F.relu, ()), (F.linear, (second,))], (1,))
    a, b = torch.tensor([[-1.0]]).double(), torch.tensor([[1.0]]).double()
    assert find_fold(UnitJacobian(unit), a, b, (1, -1)) is None
