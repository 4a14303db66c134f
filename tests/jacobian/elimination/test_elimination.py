"""Frontal elimination against dense linear algebra, on bands, rings, stars and full patterns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination import rows as elimination
from resnet_diffeo_probe.jacobian.elimination.block_system import (
    BlockSystem,
    elimination_flops,
    factor_entries,
)
from resnet_diffeo_probe.jacobian.elimination.rows import factorize, factorize_and_solve_transpose


def system_of(matrix: Tensor, sizes: list[int], pattern: set[tuple[int, int]]) -> BlockSystem:
    starts = [sum(sizes[:k]) for k in range(len(sizes) + 1)]

    def add(out: Tensor, i: int, j: int) -> None:
        out.add_(matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]])

    coupled = tuple(
        tuple(j for j in range(i + 1, len(sizes)) if (i, j) in pattern or (j, i) in pattern)
        for i in range(len(sizes))
    )
    return BlockSystem(tuple(sizes), coupled, add)


def random_system(seed: int, kind: str) -> tuple[BlockSystem, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 7, (), generator=generator))
    sizes = [int(torch.randint(0, 5, (), generator=generator)) for _ in range(count)]
    pattern = {(i, i) for i in range(count)}
    for i in range(count):
        for j in range(count):
            band = abs(i - j) <= 2
            ring = band or abs(i - j) >= count - 1
            star = i == 0 or j == count - 1
            scattered = bool(torch.rand((), generator=generator) < 0.4)
            if {"band": band, "ring": ring, "star": star, "full": True, "scattered": scattered}[kind]:
                pattern.add((i, j))
    order = sum(sizes)
    # large entries of either sign on the diagonal: J = I + J_F is no better, and no leading block is singular by chance
    diagonal = 8 * torch.randn(order, dtype=torch.float64, generator=generator).sign()
    matrix = torch.randn(order, order, dtype=torch.float64, generator=generator) + torch.diag(diagonal)
    starts = [sum(sizes[:k]) for k in range(count + 1)]
    for i in range(count):
        for j in range(count):
            if (i, j) not in pattern:
                matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = 0
    return system_of(matrix, sizes, pattern), matrix


@pytest.mark.parametrize("kind", ["band", "ring", "star", "full", "scattered"])
@given(seed=st.integers(0, 2**31))
def test_sign_logabsdet_and_solves_are_those_of_the_dense_matrix(kind: str, seed: int) -> None:
    system, matrix = random_system(seed, kind)
    torch.testing.assert_close(system.dense(), matrix)
    sign, logabsdet = torch.linalg.slogdet(matrix)
    found = factorize(system, keep=True)
    assert found.sign == int(sign)
    assert found.logabsdet == pytest.approx(float(logabsdet), rel=1e-11, abs=1e-11)
    assert factorize(system).logabsdet == pytest.approx(found.logabsdet, rel=1e-12, abs=1e-12)
    right = torch.randn(matrix.shape[0], 3, dtype=torch.float64)
    torch.testing.assert_close(matrix @ found.solve(right), right, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(matrix.mT @ found.solve(right, transpose=True), right, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.solve(right[:, 0]), found.solve(right)[:, 0])
    along_the_way, solved = factorize_and_solve_transpose(system, right)
    assert (along_the_way.sign, along_the_way.logabsdet) == (found.sign, found.logabsdet)
    assert solved is not None
    torch.testing.assert_close(solved, found.solve(right, transpose=True))


@pytest.mark.parametrize("kind", ["band", "ring", "star", "full", "scattered"])
@given(seed=st.integers(0, 2**31))
@example(seed=59696)  # scattered: five blocks that are singular together, but for a pivot of rounding
def test_leading_blocks_that_are_singular_by_themselves_say_nothing_of_the_whole(
    kind: str, seed: int
) -> None:
    _, matrix = random_system(seed, kind)
    generator = torch.Generator().manual_seed(seed)
    # small integers: exact zero pivots are common, and the determinant is an integer
    matrix = torch.randint(-1, 2, matrix.shape, generator=generator).double() * (matrix != 0)
    system, _ = random_system(seed, kind)
    starts = [sum(system.sizes[:k]) for k in range(len(system.sizes) + 1)]

    def add(out: Tensor, i: int, j: int) -> None:
        out.add_(matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]])

    integers = BlockSystem(system.sizes, system.coupled, add)
    exact = round(float(torch.linalg.det(matrix)))
    found = factorize(integers, keep=True)
    if exact == 0:  # rounding may leave a tiny pivot in the place of a zero
        hadamard = float(matrix.norm(dim=1).clamp(min=1).log().sum())
        assert found.sign == 0 or found.logabsdet < hadamard - 20
        return
    assert found.sign == (1 if exact > 0 else -1)
    assert found.logabsdet == pytest.approx(math.log(abs(exact)), abs=1e-9)
    right = torch.randn(matrix.shape[0], 2, dtype=torch.float64, generator=generator)
    for transpose in (False, True):
        solved = found.solve(right, transpose=transpose)
        torch.testing.assert_close((matrix.mT if transpose else matrix) @ solved, right, rtol=1e-7, atol=1e-7)


def test_zero_columns_left_out_of_products_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination, "_SPARSE_ORDER", 4)
    monkeypatch.setattr(elimination, "_PIECE", 2)
    generator = torch.Generator().manual_seed(0)
    sizes = [9, 11, 10, 8, 12]
    order = sum(sizes)
    place = torch.arange(order) % 10
    pixels_apart = (place[:, None] - place[None, :]).abs()
    matrix = torch.randn(order, order, dtype=torch.float64, generator=generator) * (pixels_apart <= 1)
    matrix += 6 * torch.eye(order, dtype=torch.float64)
    starts = [sum(sizes[:k]) for k in range(6)]
    for i in range(5):
        for j in range(5):
            if abs(i - j) > 2:
                matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = 0
    found = factorize(
        system_of(matrix, sizes, {(i, j) for i in range(5) for j in range(5) if abs(i - j) <= 2})
    )
    sign, logabsdet = torch.linalg.slogdet(matrix)
    assert (found.sign, found.logabsdet) == (int(sign), pytest.approx(float(logabsdet), rel=1e-13))


@pytest.mark.parametrize("swap", [(0, 1), (0, 3), (1, 4)])
def test_odd_permutations_have_a_negative_sign(swap: tuple[int, int]) -> None:
    matrix = torch.eye(5, dtype=torch.float64)
    matrix[list(swap)] = matrix[list(reversed(swap))]
    one_block = system_of(matrix, [5], {(0, 0)})
    found = factorize(one_block)
    assert (found.sign, found.logabsdet) == (-1, 0.0)


def test_nothing_to_eliminate_has_determinant_one() -> None:
    empty = BlockSystem((0, 0), ((1,), ()), lambda out, i, j: None)
    found = factorize(empty, keep=True)
    assert (found.sign, found.logabsdet) == (1, 0.0)
    assert found.solve(torch.zeros(0, dtype=torch.float64)).numel() == 0


def test_an_exact_zero_pivot_is_sign_zero_and_not_a_solve() -> None:
    found = factorize(system_of(torch.zeros(3, 3, dtype=torch.float64), [2, 1], {(0, 0), (1, 1)}), keep=True)
    assert found.sign == 0
    assert found.logabsdet == -math.inf
    with pytest.raises(RuntimeError):
        found.solve(torch.ones(3, dtype=torch.float64))


def test_infinities_are_an_error_and_not_a_sign() -> None:
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[0, 0] = math.nan
    with pytest.raises(FloatingPointError):
        factorize(system_of(matrix, [3], {(0, 0)}))


def test_flops_and_memory_are_those_of_the_textbook() -> None:
    sizes, pattern = [4, 4, 4], {(0, 1), (1, 2)}
    system = system_of(torch.eye(12, dtype=torch.float64), sizes, pattern)
    step = 2 * 64 / 3 + 2 * 16 * 4 + 2 * 4 * 16
    assert elimination_flops(system) == pytest.approx(2 * step + 2 * 64 / 3)
    buffer, copies = 12 * 12, 2 * 4 * 8
    assert factor_entries(system) == 2 * (4 * 12) + 16 + buffer + copies
    assert factor_entries(system, keep=False) == 2 * 16 + buffer + copies
