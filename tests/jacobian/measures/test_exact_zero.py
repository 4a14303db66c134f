"""det J = 0 is a proof or is not said: what integers decide, and what only looks like a zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.determinant import Determinant, determinant
from resnet_diffeo_probe.jacobian.measures.exact_zero import why_singular

D = torch.float64


def linear_at(
    unit_of: Callable[..., Any], *weights: Tensor, between: Any = None, x: Tensor | None = None
) -> Linearization:
    operations: list[Any] = []
    for weight in weights:
        operations += [(F.linear, (weight.to(D), None), {}), *([between] if between else [])]
    n = weights[0].shape[1]
    unit = unit_of(operations[:-1] if between else operations, (n,))
    return UnitJacobian(unit).at(torch.ones(n, dtype=D) if x is None else x)


def is_proven(found: Determinant) -> bool:
    if found.sign.status is Status.SINGULAR:
        assert found.sign.value == 0
        assert found.logabsdet.status is Status.SINGULAR
        assert found.sign.reason
        assert found.factorization is None
        return True
    return False


def says_nothing(found: Determinant) -> bool:
    return (
        found.sign.value is None
        and found.sign.status is Status.UNDETERMINED
        and found.logabsdet.status is Status.UNDETERMINED
        and bool(found.sign.reason)
    )


def exact_determinant(matrix: Tensor) -> Fraction:
    """By fractions, from the numbers as they are."""
    rows = [[Fraction(value) for value in row] for row in matrix.tolist()]
    product = Fraction(1)
    for k in range(len(rows)):
        pivot = next((r for r in range(k, len(rows)) if rows[r][k]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            rows[k], rows[pivot] = rows[pivot], rows[k]
            product = -product
        product *= rows[k][k]
        for r in range(k + 1, len(rows)):
            factor = rows[r][k] / rows[k][k]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[k], strict=True)]
    return product


@pytest.mark.parametrize(
    ("J", "word"),
    [
        ([[0, 0], [1, 2]], "row 0 is zero"),
        ([[0, 1], [0, 2]], "column 0 is zero"),
        ([[5, 1, 2], [0, 3, 3], [5, 1, 2]], "rows 0 and 2 are equal"),
        ([[1, 1, 0], [2, 2, 5], [3, 3, 1]], "columns 0 and 1 are equal"),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "computed in integers"),
        ([[0.75, 0.5], [1.5, 1.0]], "computed in integers"),
    ],
)
def test_what_is_singular_in_integers_is_proven_to_be(
    unit_of: Callable[..., Any], J: list[list[float]], word: str
) -> None:
    matrix = torch.tensor(J, dtype=D)
    lin = linear_at(unit_of, matrix - torch.eye(len(J), dtype=D))
    proof = why_singular(lin)
    assert proof is not None
    assert word in proof
    assert is_proven(determinant(lin))


def test_a_dead_direction_of_a_convolution_with_a_relu_is_a_zero_row(unit_of: Callable[..., Any]) -> None:
    first = torch.zeros(2, 2, 3, 3, dtype=D)
    first[0, 0, 1, 1], first[1, 1, 1, 1] = 1, 0.5
    second = torch.zeros(2, 2, 1, 1, dtype=D)
    second[0, 0], second[1, 0] = -1, 0.25
    branch = [
        (torch.conv2d, (first, None, 1, 1), {}),
        (F.relu, (), {}),
        (torch.conv2d, (second, None), {}),
    ]
    unit = unit_of(branch, (2, 3, 4))
    on = UnitJacobian(unit).at(torch.ones(2, 3, 4, dtype=D))
    assert "row 0 is zero" in str(why_singular(on))
    assert is_proven(determinant(on))
    off = determinant(UnitJacobian(unit).at(-torch.ones(2, 3, 4, dtype=D)))
    assert (off.sign.value, off.sign.status) == (1, Status.OK)
    kinked = determinant(UnitJacobian(unit).at(torch.zeros(2, 3, 4, dtype=D)))
    assert not is_proven(kinked)


def test_a_zero_that_rounding_made_is_none(unit_of: Callable[..., Any]) -> None:
    """1 − 3·fl(1/3) = 2⁻⁵⁴ > 0, which float64 computes as zero."""
    three, third = torch.tensor([[3.0]], dtype=D), torch.tensor([[-1 / 3]], dtype=D)
    assert 1 - 3 * Fraction(1 / 3) > 0
    assert 1 + 3.0 * (-1 / 3) == 0
    found = determinant(linear_at(unit_of, three, third))
    assert says_nothing(found)
    assert (found.margin.value, found.margin.status) == (None, Status.INFINITE)


def test_rounded_derivatives_prove_nothing(unit_of: Callable[..., Any]) -> None:
    minus, zero = -torch.eye(2, dtype=D), torch.zeros(2, dtype=D)
    smooth = linear_at(unit_of, minus, -minus, between=(torch.tanh, (), {}), x=zero)
    assert float(smooth.apply(torch.ones(1, 2, dtype=D)).abs().max()) == 0  # as computed, J = 0
    assert why_singular(smooth) is None
    assert says_nothing(determinant(smooth))
    # γ / √(1 + ε) rounds to one, and is not one
    gamma = torch.full((2,), math.sqrt(1 + 1e-5), dtype=D)
    one = torch.ones(2, dtype=D)
    norm = (F.batch_norm, (zero, one, gamma, zero.clone()), {"training": False, "eps": 1e-5})
    unit = unit_of([norm, (F.linear, (minus, None), {})], (2,))
    normalised = UnitJacobian(unit).at(torch.ones(2, dtype=D))
    assert why_singular(normalised) is None
    assert not is_proven(determinant(normalised))


def test_numbers_of_too_many_digits_prove_nothing(unit_of: Callable[..., Any]) -> None:
    wide = torch.tensor([[-1.0, 2.0**40], [0.0, 2.0**-20 - 1]], dtype=D)
    assert why_singular(linear_at(unit_of, wide)) is None
    assert why_singular(linear_at(unit_of, torch.tensor([[-1.0, 2.0**30], [0.0, 1.0]], dtype=D))) is not None


def test_a_pivot_of_zero_in_the_local_part_proves_nothing_of_the_whole(unit_of: Callable[..., Any]) -> None:
    """Around a constant a group norm is x − mean(x): its local part cancels the identity, the mean does not."""
    norm = (F.group_norm, (1, None, None, 1.0), {})
    unit = unit_of(
        [norm, (torch.mul, (torch.tensor([-1.0, -1.0], dtype=D).reshape(2, 1, 1),), {})], (2, 1, 1)
    )
    lin = UnitJacobian(unit).at(torch.zeros(2, 1, 1, dtype=D))
    for keep in (True, False):
        found = determinant(lin, keep=keep)
        assert says_nothing(found)
        assert "group norms" in str(found.sign.reason)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 6))
def test_every_small_integer_matrix_is_decided_rightly(
    unit_of: Callable[..., Any], seed: int, n: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    J = torch.randint(-2, 3, (n, n), generator=generator).double()
    exact = exact_determinant(J)
    found = determinant(linear_at(unit_of, J - torch.eye(n, dtype=D)))
    assert found.sign.value == (exact > 0) - (exact < 0)
    assert found.sign.status is (Status.OK if exact else Status.SINGULAR)
