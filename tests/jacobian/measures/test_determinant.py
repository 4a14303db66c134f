"""The exact engine against dense automatic differentiation, on random branches of every shape it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.linearized import unit_jacobian
from resnet_diffeo_probe.jacobian.linearized.dense import dense_logdet
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.determinant import determinant
from tests.jacobian.random_branches import D, Draw, random_branch


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_sign_and_logabsdet_equal_dense_slogdet(unit_of: Callable[..., Any], seed: int) -> None:
    draw = Draw(seed)
    operations, shape = random_branch(draw)
    if any(op is F.pad and max(args[0]) >= min(shape[1:]) for op, args, _ in operations):
        shape = (shape[0], *(s + 4 for s in shape[1:]))  # reflection needs an image wider than its padding
    unit = unit_of(operations, shape)
    x = draw.tensor(*shape)
    sign, logabsdet = torch.linalg.slogdet(unit.jacobian(x))
    lin = UnitJacobian(unit).at(x)
    found = determinant(lin)
    assume(found.sign.status is not Status.ON_KINK)  # gelu underflows to an exact zero now and then
    assert found.sign.status is Status.OK, found.sign.reason
    assert found.sign.value == int(sign)
    assert found.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-9)
    assert found.margin.value is not None and found.margin.value < 1e-3
    factors = found.factorization
    assert factors is not None
    v = draw.tensor(2, *shape)
    dense = unit.jacobian(x)
    torch.testing.assert_close(
        lin.apply(v).reshape(2, -1), v.reshape(2, -1) @ dense.mT, rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        lin.apply_transpose(v).reshape(2, -1), v.reshape(2, -1) @ dense, rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(lin.apply(factors.solve(v)), v, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(lin.apply_transpose(factors.solve_transpose(v)), v, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        lin.apply_transpose_by_autograd(v), lin.apply_transpose(v), rtol=1e-10, atol=1e-10
    )
    checked_along_the_way = determinant(lin, keep=False)
    assert checked_along_the_way.sign == found.sign
    assert checked_along_the_way.logabsdet.value == pytest.approx(found.logabsdet.value, rel=1e-12, abs=1e-12)
    assert checked_along_the_way.margin.value is not None and checked_along_the_way.margin.value < 1e-6


def relu_unit(unit_of: Callable[..., Any], shift: float, weight: float = -0.8) -> Any:
    """Two 3×3 convolutions whose ReLU lies `shift` away from its kink."""
    draw = Draw(5)
    first = (torch.conv2d, (draw.tensor(3, 2, 3, 3, scale=0.2), torch.full((3,), shift, dtype=D), 1, 1), {})
    second = (torch.conv2d, (weight * draw.tensor(2, 3, 3, 3), None, 1, 1), {})
    return unit_of([first, (F.relu, (), {}), second], (2, 5, 7))


@pytest.mark.parametrize(("shift", "active"), [(-100.0, "none"), (100.0, "all"), (0.0, "some")])
def test_empty_and_full_active_sets(unit_of: Callable[..., Any], shift: float, active: str) -> None:
    unit = relu_unit(unit_of, shift)
    x = Draw(1).tensor(*unit.input_shape)
    lin = UnitJacobian(unit).at(x)
    total = 3 * 5 * 7
    counted = int((lin.derivatives[0] != 0).sum())
    assert {"none": counted == 0, "all": counted == total, "some": 0 < counted < total}[active]
    sign, logabsdet = dense_logdet(unit.sum_map, x[None])
    found = determinant(lin)
    assert (found.sign.value, found.sign.status) == (sign, Status.OK)
    assert found.logabsdet.value == pytest.approx(logabsdet, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("factor", "sign"), [(-3.0, -1), (2.0, 1), (-0.5, 1)])
def test_one_dimension(unit_of: Callable[..., Any], factor: float, sign: int) -> None:
    unit = unit_of([(F.linear, (torch.tensor([[factor]], dtype=D), None), {})], (1,))
    found = determinant(UnitJacobian(unit).at(torch.ones(1)))
    assert found.sign.value == sign
    assert found.logabsdet.value == pytest.approx(math.log(abs(1 + factor)), rel=1e-12)


def test_a_reflection_of_one_channel_is_negative(unit_of: Callable[..., Any]) -> None:
    # x_0 -> -x_0 at an odd number of pixels, everything else unchanged
    unit = unit_of([(torch.mul, (torch.tensor([-2.0, 0.0], dtype=D).reshape(2, 1, 1),), {})], (2, 3, 5))
    found = determinant(UnitJacobian(unit).at(torch.ones(2, 3, 5)))
    assert (found.sign.value, found.logabsdet.value) == (-1, 0.0)


def test_the_zero_map_is_singular_and_not_minus_infinity(unit_of: Callable[..., Any]) -> None:
    unit = unit_of([(torch.neg, (), {}), (torch.mul, (torch.ones(2, 1, 1, dtype=D),), {})], (2, 3, 3))
    found = determinant(UnitJacobian(unit).at(torch.ones(2, 3, 3)))
    assert (found.sign.value, found.sign.status) == (0, Status.SINGULAR)
    assert (found.logabsdet.value, found.logabsdet.status) == (None, Status.SINGULAR)
    assert found.factorization is None


def test_singular_within_rounding_is_undetermined(unit_of: Callable[..., Any]) -> None:
    # J = I - P with P a projection: the elimination meets pivots of about 1e-16 that may have either sign
    basis = torch.linalg.qr(Draw(3).tensor(6, 6)).Q[:, :2]
    unit = unit_of([(F.linear, (-basis @ basis.mT, None), {})], (6,))
    found = determinant(UnitJacobian(unit).at(torch.ones(6)))
    assert found.sign.status in (Status.UNDETERMINED, Status.SINGULAR)
    assert found.sign.value in (None, 0)


def test_an_input_on_a_kink_is_said_to_be_there(unit_of: Callable[..., Any]) -> None:
    unit = relu_unit(unit_of, 0.0)
    on_kink = determinant(UnitJacobian(unit).at(torch.zeros(unit.input_shape)))
    assert on_kink.sign.status is Status.ON_KINK
    beside = determinant(UnitJacobian(unit).at(Draw(2).tensor(*unit.input_shape)))
    assert beside.sign.status is Status.OK


def test_a_dead_channel_is_no_kink(unit_of: Callable[..., Any]) -> None:
    weight = Draw(4).tensor(3, 2, 3, 3)
    weight[1] = 0  # with a zero bias its pre-activation is exactly zero at every input
    second = (torch.conv2d, (Draw(6).tensor(2, 3, 3, 3, scale=0.2), None, 1, 1), {})
    unit = unit_of([(torch.conv2d, (weight, None, 1, 1), {}), (F.relu, (), {}), second], (2, 4, 4))
    assert determinant(UnitJacobian(unit).at(Draw(2).tensor(2, 4, 4))).sign.status is Status.OK


def test_what_stays_behind_dead_units_is_no_kink(unit_of: Callable[..., Any]) -> None:
    """Where a first ReLU is off everywhere, what follows stays exactly on the kink of a second one."""
    first, second, third = (Draw(seed).tensor(2, 2, 3, 3) for seed in (4, 5, 6))
    unit = unit_of(
        [
            (torch.conv2d, (first, torch.full((2,), -1e3, dtype=D), 1, 1), {}),
            (F.relu, (), {}),
            (torch.conv2d, (second, None, 1, 1), {}),
            (torch.tanh, (), {}),  # a derivative of one: it is the ReLU before it that keeps things still
            (torch.conv2d, (third, None, 1, 1), {}),
            (F.relu, (), {}),
        ],
        (2, 4, 4),
    )
    assert determinant(UnitJacobian(unit).at(Draw(2).tensor(2, 4, 4))).sign.status is Status.OK


@pytest.mark.parametrize("keep", [True, False])
def test_the_bound_is_tight_enough_near_a_singular_matrix(unit_of: Callable[..., Any], keep: bool) -> None:
    weight = torch.tensor([[[[-1.0]]]], dtype=D)  # J = 1 − 1 + 2e-13: the margin is below one
    unit = unit_of(
        [(torch.conv2d, (weight,), {}), (torch.mul, (1.0 - 2e-13,), {})],
        (1, 3, 3),
    )
    found = determinant(UnitJacobian(unit).at(Draw(2).tensor(1, 3, 3)), keep=keep)
    assert found.logabsdet.value == pytest.approx(9 * math.log(2e-13), rel=1e-3)
    assert found.margin.value is not None and found.margin.value < 1
    assert found.sign.value == 1


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), exponent=st.integers(0, 9), side=st.sampled_from([1, -1]))
def test_single_precision_never_settles_on_a_wrong_sign(
    unit_of: Callable[..., Any], seed: int, exponent: int, side: int
) -> None:
    """A real eigenvalue of J_F is put at a distance 10^−k from −1, on either side."""
    draw = Draw(seed)
    first, second = draw.tensor(3, 2, 3, 3), draw.tensor(2, 3, 3, 3)
    x, shape = draw.tensor(2, 3, 4), (2, 3, 4)

    def unit(scale: float, dtype: torch.dtype) -> Any:
        return unit_of(
            [
                (torch.conv2d, (first.to(dtype), None, 1, 1), {}),
                (F.relu, (), {}),
                (torch.conv2d, (second.to(dtype), None, 1, 1), {}),
                (torch.mul, (scale,), {}),
            ],
            shape,
        )

    rounded = x.float().double()  # the point, and the weights, at which float32 looks
    first, second = first.float().double(), second.float().double()
    eigenvalues = torch.linalg.eigvals(unit(1.0, D).jacobian(rounded) - torch.eye(24, dtype=D))
    real = eigenvalues.real[(eigenvalues.imag == 0) & (eigenvalues.real < -1e-2)]
    assume(real.numel() > 0)
    scale = (-1 + side * 10.0**-exponent) / float(real[0])
    exact = determinant(UnitJacobian(unit(scale, D)).at(rounded))
    single = determinant(UnitJacobian(unit(scale, torch.float32)).at(rounded), keep=False)
    assert single.sign.dtype in (None, "float32")
    if exact.sign.status is Status.OK and single.sign.status is Status.OK:
        assert single.sign.value == exact.sign.value
    if exponent >= 9:  # no sign, or a pivot that rounding made zero
        assert single.sign.value in (None, 0)


def test_a_branch_read_wrongly_shows_in_the_margin(unit_of: Callable[..., Any]) -> None:
    """The check of the sign goes through the unit's own branch, so it notices a wrong matrix."""
    unit = relu_unit(unit_of, 0.3)
    jacobian = UnitJacobian(unit)
    segment = jacobian.chain.segments[0]
    right = segment.operators[0]
    wrong = replace(right, matrix=lambda: replace(right.matrix(), blocks=1.01 * right.matrix().blocks))
    broken = replace(segment, operators=(wrong,))
    jacobian.chain = replace(jacobian.chain, segments=(broken, *jacobian.chain.segments[1:]))
    for keep in (True, False):
        found = determinant(jacobian.at(Draw(1).tensor(*unit.input_shape)), keep=keep)
        assert found.sign.status is Status.UNDETERMINED
        assert found.sign.value is None


def test_an_unknown_operation_is_exact_where_n_is_small_and_refused_by_name_elsewhere(
    unit_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixing = torch.tensor([[0.0, 2.0, 0.0], [-3.0, 0.0, 1.0], [0.5, 0.0, -2.0]], dtype=D)
    unit = unit_of([(F.linear, (mixing, None), {}), (torch.cumsum, (1,), {}), (torch.tanh, (), {})], (3,))
    x = Draw(2).tensor(3)
    jacobian = UnitJacobian(unit)
    assert jacobian.not_read is not None and "cumsum" in jacobian.not_read
    found = determinant(jacobian.at(x))
    sign, logabsdet = torch.linalg.slogdet(unit.jacobian(x))
    assert (found.sign.value, found.sign.status) == (int(sign), Status.OK)
    assert found.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-12)
    monkeypatch.setattr(unit_jacobian, "_DENSE_DIMENSION", 2)
    with pytest.raises(UnsupportedUnitError, match="cumsum"):
        UnitJacobian(unit)


def test_a_unit_that_changes_the_dimension_has_no_determinant(unit_of: Callable[..., Any]) -> None:
    unit = unit_of([(torch.tanh, (), {})], (3,))
    unit.preserves_dimension = False
    with pytest.raises(UnsupportedUnitError, match="dimension"):
        UnitJacobian(unit)


def test_float32_agrees_to_its_own_rounding(unit_of: Callable[..., Any]) -> None:
    unit = relu_unit(unit_of, 0.3)
    x = Draw(1).tensor(*unit.input_shape)
    double = determinant(UnitJacobian(unit).at(x))
    unit.branch.to(torch.float32)
    single = determinant(UnitJacobian(unit).at(x))
    assert single.sign.dtype == "float32"
    assert single.sign.value == double.sign.value
    assert single.logabsdet.value == pytest.approx(double.logabsdet.value, rel=1e-4)


def test_the_same_input_gives_the_same_bits(unit_of: Callable[..., Any]) -> None:
    unit = relu_unit(unit_of, 0.1)
    x = Draw(1).tensor(*unit.input_shape)
    jacobian = UnitJacobian(unit)
    first, second = determinant(jacobian.at(x)), determinant(jacobian.at(x))
    assert first.logabsdet == second.logabsdet
    assert first.margin == second.margin


def test_what_leaves_the_range_of_numbers_is_said_in_words_and_has_no_sign(
    unit_of: Callable[..., Any],
) -> None:
    huge = torch.full((2, 2), 1e200, dtype=D)
    overflow = unit_of([(F.linear, (huge, None), {}), (F.linear, (huge.clone(), None), {})], (2,))
    found = determinant(UnitJacobian(overflow).at(torch.ones(2)))
    assert (found.sign.value, found.sign.status) == (None, Status.ERROR)
    assert "largest number" in str(found.sign.reason)
    # the pivots are finite, what the vectors of the check become is not
    edge = unit_of([(F.linear, (torch.diag(torch.full((4,), 1.7e308, dtype=D)), None), {})], (4,))
    found = determinant(UnitJacobian(edge).at(torch.ones(4)))
    assert (found.sign.value, found.sign.status) == (None, Status.UNDETERMINED)
    assert "range of float64" in str(found.sign.reason)
    assert (found.margin.value, found.margin.status) == (None, Status.INFINITE)
    assert found.logabsdet.status is Status.UNDETERMINED


def test_a_logarithm_on_a_kink_is_said_to_be_of_one_of_several(unit_of: Callable[..., Any]) -> None:
    unit = relu_unit(unit_of, 0.0)
    found = determinant(UnitJacobian(unit).at(torch.zeros(unit.input_shape)))
    assert "kink" in str(found.logabsdet.reason)
    assert found.logabsdet.interval is not None
