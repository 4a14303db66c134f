"""The interval of log|det J| holds the determinant in extended precision, wherever elimination loses digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian.elimination import rows as elimination
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.determinant import determinant

D = torch.float64
PRECISION = mpmath.MPContext()
PRECISION.dps = 60


def true_determinant(matrix: Tensor) -> tuple[int, Any]:
    """Sign and log|det| of I + W for the numbers of W as they are, in 60 digits."""
    exact = PRECISION.matrix(matrix.double().tolist()) + PRECISION.eye(matrix.shape[0])
    value = PRECISION.det(exact)
    return int(PRECISION.sign(value)), PRECISION.log(abs(value)) if value else -PRECISION.inf


def half_width(found: Finding) -> float:
    assert found.interval is not None
    return (found.interval[1] - found.interval[0]) / 2


def holds(found: Finding, true: Any) -> bool:
    assert found.interval is not None
    low, high = map(PRECISION.mpf, found.interval)
    return bool(low <= true <= high)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def orthogonal(seed: int, n: int) -> Tensor:
    return torch.linalg.qr(random(seed, n, n)).Q


def graded(seed: int, n: int, digits: float) -> Tensor:
    """Singular values from 1 down to 10^−digits."""
    sigma = torch.logspace(0, -digits, n, dtype=D)
    return orthogonal(seed, n) * sigma @ orthogonal(seed + 1, n).mT


def nearly_singular(seed: int, n: int, digits: float) -> Tensor:
    """One singular value of 10^−digits among ones."""
    sigma = torch.ones(n, dtype=D)
    sigma[n // 2] = 10.0**-digits
    return orthogonal(seed, n) * sigma @ orthogonal(seed + 1, n).mT


def scaled(seed: int, n: int, digits: float) -> Tensor:
    """Rows and columns of very different size."""
    size = torch.logspace(-digits / 4, digits / 4, n, dtype=D)
    return size[:, None] * random(seed, n, n) * size.flip(0)


def growing(seed: int, n: int, digits: float) -> Tensor:
    """Wilkinson's: partial pivoting makes the last column grow to 2^(n−1); its neighbours likewise."""
    matrix = torch.eye(n, dtype=D) - torch.ones(n, n, dtype=D).tril(-1)
    matrix[:, -1] = 1
    return matrix + 10.0 ** -max(digits, 1) * random(seed, n, n)


FAMILIES: list[Callable[[int, int, float], Tensor]] = [graded, nearly_singular, scaled, growing]


def dense_unit(unit_of: Callable[..., Any], weight: Tensor) -> UnitJacobian:
    return UnitJacobian(unit_of([(F.linear, (weight, None), {})], (weight.shape[0],)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("digits", [0.0, 4.0, 8.0, 12.0, 14.0, 15.0, 16.0, 17.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_interval_holds_or_there_is_none(
    unit_of: Callable[..., Any],
    family: Callable[[int, int, float], Tensor],
    digits: float,
    dtype: torch.dtype,
) -> None:
    n = 20
    for seed in range(4):
        weight = (family(3 * seed, n, digits) - torch.eye(n, dtype=D)).to(dtype)
        jacobian = dense_unit(unit_of, weight)
        lin = jacobian.at(torch.ones(n, dtype=dtype))
        sign, logabsdet = true_determinant(weight)
        for keep in (True, False):
            found = determinant(lin, seed=seed, keep=keep)
            if found.sign.status is Status.OK:
                assert found.sign.value == sign
                assert holds(found.logabsdet, logabsdet)
            else:
                assert found.logabsdet.interval is None
                assert found.sign.reason


def relu_unit(
    unit_of: Callable[..., Any], seed: int, dtype: torch.dtype = D, scale: float = 0.3
) -> tuple[UnitJacobian, Tensor, Tensor]:
    """Two convolutions of dyadic weights around a ReLU, an input, and J_F there without any rounding."""

    def dyadic(tensor: Tensor) -> Tensor:
        return (tensor * 64).round() / 64

    weights = dyadic(scale * random(seed, 3, 2, 3, 3)), dyadic(random(seed + 1, 2, 3, 3, 3))
    x = dyadic(random(seed + 2, 2, 3, 4)).to(dtype)
    first, second = ((torch.conv2d, (weight.to(dtype), None, 1, 1), {}) for weight in weights)
    jacobian = UnitJacobian(unit_of([first, (F.relu, (), {}), second], (2, 3, 4)))
    eye = torch.eye(24, dtype=D).reshape(24, 2, 3, 4)
    inner = torch.conv2d(eye, weights[0], None, 1, 1)
    on = torch.conv2d(x.double(), weights[0], None, 1, 1) > 0
    # multiples of 2^−12 below 2^10: every product and every sum is exact
    return jacobian, x, torch.conv2d(inner * on, weights[1], None, 1, 1).reshape(24, 24).mT


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 0.5)])
def test_of_ordinary_units_the_interval_is_narrow(
    unit_of: Callable[..., Any], dtype: torch.dtype, tolerance: float
) -> None:
    errors, widths = [], []
    for seed in range(0, 60, 3):
        jacobian, x, exact = relu_unit(unit_of, seed, dtype)
        sign, true = true_determinant(exact)
        found = determinant(jacobian.at(x), keep=False)
        assert (found.sign.value, found.sign.status) == (sign, Status.OK)
        assert holds(found.logabsdet, true)
        errors.append(abs(float(true - PRECISION.mpf(found.logabsdet.value))))
        widths.append(half_width(found.logabsdet))
    assert median(widths) < tolerance
    assert median(widths) < 1e4 * median(errors)  # measured: 1.0e3 to 1.6e3


def test_group_norms_and_gates_have_intervals_as_well(unit_of: Callable[..., Any]) -> None:
    """Terms of low rank: the small matrix of the determinant lemma is part of what is checked."""
    for seed in range(6):
        first, second = 0.5 * random(seed, 4, 2, 3, 3), 0.5 * random(seed + 1, 2, 4, 3, 3)
        norm = (F.group_norm, (2, random(seed + 2, 4).abs() + 0.5, random(seed + 3, 4)), {})
        branch = [
            (torch.conv2d, (first, None, 1, 1), {}),
            norm,
            (F.silu, (), {}),
            (torch.conv2d, (second, None, 1, 1), {}),
        ]
        unit = unit_of(branch, (2, 4, 4))
        x = random(seed + 4, 2, 4, 4)
        lin = UnitJacobian(unit).at(x)
        assert lin.rank > 0
        sign, true = true_determinant(unit.jacobian(x) - torch.eye(32, dtype=D))
        for keep in (True, False):
            found = determinant(lin, keep=keep)
            assert found.sign.value == sign
            assert holds(found.logabsdet, true)
            assert half_width(found.logabsdet) < 1e-8


def test_what_was_read_wrongly_by_little_is_inside_the_interval(unit_of: Callable[..., Any]) -> None:
    """A relative mistake of 1e-9 in what is read of the branch, in its matrix alone or in its products too."""
    jacobian, x, exact = relu_unit(unit_of, 7)
    segment = jacobian.chain.segments[0]
    right = segment.operators[0]
    wrong = 1 + 1e-9
    in_matrix = replace(right, matrix=lambda: replace(right.matrix(), blocks=wrong * right.matrix().blocks))
    in_both = replace(in_matrix, apply=lambda v: wrong * right.apply(v), known_transpose=None)
    _, true = true_determinant(exact)
    for operator in (in_matrix, in_both):
        read = replace(segment, operators=(operator,))
        jacobian.chain = replace(jacobian.chain, segments=(read, *jacobian.chain.segments[1:]))
        jacobian._products.clear()
        jacobian._layouts.clear()
        jacobian._tables.clear()
        found = determinant(jacobian.at(x))
        assert abs(float(true - PRECISION.mpf(found.logabsdet.value))) > 1e-11  # it is wrong
        assert holds(found.logabsdet, true)  # and known to be no better than that


def waiting_unit(unit_of: Callable[..., Any], delta: float) -> tuple[UnitJacobian, Tensor]:
    """Ten pixels of 260 channels; the first five blocks are singular but for `delta` until the sixth has come."""
    channels, width = 260, 11
    weight = torch.zeros(channels, channels, width, dtype=D)
    weight[0, 0, 5] = delta - 1
    generator = torch.Generator().manual_seed(1)
    weight[:3, :3, 0] = torch.randn(3, 3, dtype=D, generator=generator)
    weight[:3, :3, 10] = torch.randn(3, 3, dtype=D, generator=generator)
    weight[1:3, 1:3, 5] = torch.randn(2, 2, dtype=D, generator=generator)
    jacobian = UnitJacobian(unit_of([(F.conv1d, (weight, None, 1, 5), {})], (channels, 10)))
    few = weight[:3, :3]
    basis = torch.eye(30, dtype=D).reshape(30, 3, 10)
    return jacobian, F.conv1d(basis, few, None, 1, 5).reshape(30, 30).mT


def test_a_tiny_pivot_that_could_not_wait_shows_in_the_interval(
    unit_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four blocks of more than 1,024 rows are not left waiting for a fifth: digits are lost, and said to be."""
    jacobian, small = waiting_unit(unit_of, 2.0**-40)
    sign, true = true_determinant(small)
    lin = jacobian.at(torch.ones(260, 10, dtype=D))
    assert min(lin.reduced.system().sizes) >= 260
    taken = determinant(lin, keep=False)
    assert taken.sign.status is Status.OK
    assert taken.sign.value == sign
    assert holds(taken.logabsdet, true)
    monkeypatch.setattr(elimination, "_DELAYED_ROWS", 10_000)
    waited = determinant(lin, keep=False)
    assert holds(waited.logabsdet, true)
    assert half_width(taken.logabsdet) > 100 * half_width(waited.logabsdet)


def test_a_wide_interval_is_said_in_words(unit_of: Callable[..., Any]) -> None:
    weight = nearly_singular(1, 12, 9.0) - torch.eye(12, dtype=D)
    lin = dense_unit(unit_of, weight).at(torch.ones(12, dtype=D))
    found = determinant(lin).logabsdet
    assert found.status is Status.OK
    assert half_width(found) > 1e-6 * abs(found.value or 0)
    assert found.reason is not None
    assert f"{half_width(found):.1e}" in found.reason
    well = dense_unit(unit_of, nearly_singular(1, 12, 1.0) - torch.eye(12, dtype=D))
    assert determinant(well.at(torch.ones(12, dtype=D))).logabsdet.reason is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_in_a_few_dimensions_a_residual_of_zero_is_not_taken_for_no_error(
    unit_of: Callable[..., Any], n: int
) -> None:
    """Rounding cancels by luck there: the interval is as wide as one rounding all the same."""
    generator = torch.Generator().manual_seed(n)
    for seed in range(60):
        weight = torch.randn(n, n, dtype=D, generator=generator)
        found = determinant(dense_unit(unit_of, weight).at(torch.ones(n, dtype=D)), seed=seed)
        sign, true = true_determinant(weight)
        assert found.sign.value == sign
        assert holds(found.logabsdet, true)
