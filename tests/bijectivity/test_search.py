"""From signs at inputs to witnesses, for piecewise linear and smooth units; smooth folds against dense algebra."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.search.search import (
    SearchEffort,
    clipping_witness,
    fold_witness,
    nearest_opposite,
)
from resnet_diffeo_probe.bijectivity.search.smooth_fold import find_smooth_fold, pair_at_smooth_fold
from resnet_diffeo_probe.bijectivity.witnesses.witness import check
from resnet_diffeo_probe.jacobian import UnitJacobian


@pytest.mark.parametrize("kind", ["tanh", "gelu"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_a_smooth_fold_is_a_singular_point_with_a_pair_around_it(
    make_unit: Any, kind: str, seed: int
) -> None:
    unit = make_unit(seed, kind, scale=2.0)
    ends = unit.opposite()
    assume(ends is not None)
    jacobian = UnitJacobian(unit)
    fold = find_smooth_fold(jacobian, *ends, (1, -1))
    assert fold is not None
    # the oracle: the smallest singular value of the dense Jacobian there, and its vector
    _, values, rows = torch.linalg.svd(unit.dense(fold.point))
    assert float(values[-1]) < 1e-6 * float(values[0])
    assert abs(float(rows[-1] @ fold.null_vector.reshape(-1))) == pytest.approx(1, abs=1e-3)
    pair = pair_at_smooth_fold(jacobian, fold)
    assert pair is not None
    assert check(unit, "sum", *pair, "smooth fold", jacobian=jacobian).is_proof


def test_the_fold_of_a_cubic_is_where_calculus_puts_it(build_unit: Any) -> None:
    # g(x) = x − 2 tanh(x): g' = 0 where cosh² x = 2, x = arcosh √2
    unit = build_unit([(torch.tanh, ()), (F.linear, (torch.tensor([[-2.0]]).double(),))], (1,))
    zero, two = torch.zeros(1, 1).double(), torch.full((1, 1), 2.0).double()
    fold = find_smooth_fold(UnitJacobian(unit), two, zero, (1, -1))
    assert fold is not None
    assert float(fold.point) == pytest.approx(float(torch.acosh(torch.tensor(2.0).double().sqrt())), abs=1e-7)
    with pytest.raises(ValueError, match="not opposite"):
        find_smooth_fold(UnitJacobian(unit), two, two, (1, 1))


@pytest.mark.parametrize("kind", ["dense", "leaky", "deep", "tanh", "basic", "bottleneck"])
def test_signs_at_inputs_become_a_proof(make_unit: Any, kind: str) -> None:
    proven = 0
    for seed in range(6):
        unit = make_unit(seed, kind, scale=2.0)
        inputs = torch.cat([unit.draw(s) for s in range(20)])
        signs = [unit.sign(x[None]) for x in inputs]
        names = [f"i{k}" for k in range(20)]
        found = fold_witness(unit, UnitJacobian(unit), inputs, signs, names, effort=SearchEffort(growth=6))
        if len(set(signs)) == 1:
            assert found is None
            continue
        assert found is not None
        assert found.is_proof
        proven += 1
        about = found.to_json()
        plus, minus = (names.index(name) for name in about["inputs"])
        assert (signs[plus], signs[minus]) == (1, -1)
        assert about["nearest_input"] in about["inputs"]
        assert about["grown_distance"] >= about["first_distance"] > 0
        assert about["distance"] <= about["grown_distance"]
    assert proven >= 2


def test_inputs_of_a_relu_give_pairs_a_relu_could_give(make_unit: Any) -> None:
    found_in_orthant = 0
    for seed in range(6):
        unit = make_unit(seed, "basic", scale=2.5, activation="relu")
        inputs = torch.cat([unit.draw(s).clamp(min=0) for s in range(20)])  # with many exact zeros
        signs = [unit.sign(x[None] + 1e-9) for x in inputs]
        jacobian = UnitJacobian(unit)
        names = [str(k) for k in range(20)]
        clipped = clipping_witness(unit, jacobian, inputs, names)
        assert clipped is not None
        assert clipped.is_proof
        assert clipped.in_orthant
        if len(set(signs)) == 2:
            folded = fold_witness(unit, jacobian, inputs, signs, names)
            assert folded is not None
            assert folded.is_proof
            found_in_orthant += folded.in_orthant
            if folded.grown is not None:
                assert folded.grown.is_proof
                assert not folded.grown.in_orthant
                assert folded.grown.distance > folded.distance
    assert found_in_orthant >= 1


def test_one_sign_alone_is_no_witness(build_unit: Any) -> None:
    # a reflection: det < 0 everywhere, and a bijection
    matrix = torch.diag(torch.tensor([-2.0, 0.0]).double())
    unit = build_unit([(F.linear, (matrix,))], (2,))
    inputs = torch.randn(5, 2, dtype=torch.float64)
    signs: list[int | None] = [unit.sign(x[None]) for x in inputs]
    assert set(signs) == {-1}
    assert fold_witness(unit, UnitJacobian(unit), inputs, signs, "abcde") is None
    assert fold_witness(unit, UnitJacobian(unit), inputs, [None, 0, None, -1, -1], "abcde") is None


def test_the_nearest_pair_is_relative_to_the_inputs(build_unit: Any) -> None:
    inputs = torch.tensor([[1.0], [1.5], [100.0], [110.0]]).double()
    # 0.5 apart at 1 is farther than 10 apart at 100
    assert nearest_opposite(inputs, [1, -1, 1, -1])[0] == (2, 3)
    assert nearest_opposite(inputs, [1, 1, None, 0]) == []


def test_nothing_clipped_gives_no_clipping_witness(build_unit: Any) -> None:
    unit = build_unit([(F.linear, (torch.eye(2).double(),))], (2,), activation="relu")
    assert clipping_witness(unit, UnitJacobian(unit), torch.ones(3, 2).double(), "abc") is None


def test_lifting_moves_an_input_little(make_unit: Any) -> None:
    unit = make_unit(1, "basic", scale=2.5, activation="relu")
    inputs = torch.cat([unit.draw(s).clamp(min=0) for s in range(3)])
    found = clipping_witness(unit, UnitJacobian(unit), inputs, "abc")
    assert found is not None
    nearest = min(norm(found.x1 - x[None]) / norm(x) for x in inputs)
    assert found.about["input_distance"] == pytest.approx(nearest)
    assert nearest < 0.02
