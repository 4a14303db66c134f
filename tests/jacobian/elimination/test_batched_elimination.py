"""Matrices eliminated together against each by itself, and against dense linear algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.batched_elimination import (
    factorize_together_and_solve_transpose,
    padded_together,
)
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.elimination.rows import factorize, factorize_and_solve_transpose

PATTERNS = {
    "band": lambda i, j, count: abs(i - j) <= 1,
    "wide band": lambda i, j, count: abs(i - j) <= 2,
    "ring": lambda i, j, count: abs(i - j) <= 1 or abs(i - j) == count - 1,
    "star": lambda i, j, count: i in (j, 0) or j == 0,
    "apart": lambda i, j, count: i == j,
    "full": lambda i, j, count: True,
}


def coupling(kind: str, count: int) -> tuple[tuple[int, ...], ...]:
    coupled = PATTERNS[kind]
    return tuple(tuple(j for j in range(i + 1, count) if coupled(i, j, count)) for i in range(count))


def system_of(matrix: Tensor, sizes: list[int], kind: str) -> BlockSystem:
    """Blocks that do not couple are cleared."""
    starts = np.cumsum([0, *sizes])
    for i in range(len(sizes)):
        for j in range(len(sizes)):
            if not PATTERNS[kind](i, j, len(sizes)):
                matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = 0

    def add(out: Tensor, i: int, j: int) -> None:
        out.add_(matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]])

    return BlockSystem(tuple(sizes), coupling(kind, len(sizes)), add, matrix.dtype)


def random_systems(seed: int, kind: str, members: int, largest: int = 6) -> list[BlockSystem]:
    """Systems of one coupling with blocks of mixed sizes, some of them empty."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 7, (), generator=generator))
    systems = []
    for _ in range(members):
        sizes = torch.randint(0, largest, (count,), generator=generator).tolist()
        order = sum(sizes)
        diagonal = 8 * torch.randn(order, dtype=torch.float64, generator=generator).sign()
        matrix = torch.randn(order, order, dtype=torch.float64, generator=generator) + torch.diag(diagonal)
        systems.append(system_of(matrix, sizes, kind))
    return systems


def rights_of(systems: list[BlockSystem], seed: int = 0, columns: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(s.order, columns, dtype=torch.float64, generator=generator).to(s.dtype) for s in systems
    ]


@pytest.mark.parametrize("kind", PATTERNS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), members=st.integers(1, 8))
def test_each_matrix_of_a_batch_gives_what_it_gives_alone(kind: str, seed: int, members: int) -> None:
    systems = random_systems(seed, kind, members)
    batch = padded_together(systems)
    rights = rights_of(systems, seed)
    found = factorize_together_and_solve_transpose(batch, rights, keep=True)
    for system, right, one in zip(systems, rights, found, strict=True):
        alone, solved = factorize_and_solve_transpose(system, right)
        sign, logabsdet = torch.linalg.slogdet(system.dense())
        assert one is not None
        blocks, together = one
        assert blocks.sign == alone.sign == int(sign)
        assert blocks.logabsdet == pytest.approx(alone.logabsdet, rel=1e-9, abs=1e-11)
        assert blocks.logabsdet == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-11)
        assert solved is not None
        torch.testing.assert_close(together, solved, rtol=1e-9, atol=1e-9)
        kept = factorize(system, keep=True)
        for transpose in (False, True):
            torch.testing.assert_close(
                blocks.solve(right, transpose=transpose),
                kept.solve(right, transpose=transpose),
                rtol=1e-8,
                atol=1e-8,
            )
    without = factorize_together_and_solve_transpose(batch, rights, keep=False)
    for one, other in zip(found, without, strict=True):
        assert one is not None
        assert other is not None
        assert (other[0].sign, other[0].logabsdet) == (one[0].sign, one[0].logabsdet)
        assert other[0].steps is None
        assert torch.equal(other[1], one[1])


@pytest.mark.parametrize("kind", PATTERNS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_padding_adds_the_identity_and_nothing_else(kind: str, seed: int) -> None:
    systems = random_systems(seed, kind, 4)
    batch = padded_together(systems)
    dense = batch.system.dense()
    padded = batch.system.order
    for member, (system, full) in enumerate(zip(systems, dense, strict=True)):
        own = torch.from_numpy(
            batch.places[sum(s.order for s in systems[:member]) :][: system.order] - member * padded
        )
        torch.testing.assert_close(full[own][:, own], system.dense(), rtol=0, atol=0)
        rest = torch.eye(padded, dtype=torch.float64)
        rest[own[:, None], own] = full[own[:, None], own]
        assert torch.equal(full, rest)


def spoiled(kind: str) -> list[BlockSystem]:
    """Sound, singular as a whole, singular in its first block alone, nearly so, not finite, sound."""
    sizes, order = [3, 4, 2], 9
    generator = torch.Generator().manual_seed(5)
    matrices = [
        torch.randn(order, order, dtype=torch.float64, generator=generator)
        + 8 * torch.eye(order, dtype=torch.float64)
        for _ in range(6)
    ]
    matrices[1][:, 4] = 0
    matrices[2][:3, :3] = 0
    matrices[3][:3, :3] = torch.diag(torch.tensor([1e-14, 1, 1], dtype=torch.float64))
    matrices[4][5, 5] = math.nan
    return [system_of(matrix, sizes, kind) for matrix in matrices]


@pytest.mark.parametrize("kind", ["band", "ring", "full"])
def test_whoever_has_to_be_eliminated_alone_leaves_the_batch_and_touches_no_other(kind: str) -> None:
    systems = spoiled(kind)
    rights = rights_of(systems)
    found = factorize_together_and_solve_transpose(padded_together(systems), rights, keep=False)
    assert [one is None for one in found] == [False, True, True, True, True, False]
    sound = [0, 5]
    among_sound = factorize_together_and_solve_transpose(
        padded_together([systems[m] for m in sound]), [rights[m] for m in sound], keep=False
    )
    for member, other in zip(sound, among_sound, strict=True):
        one = found[member]
        assert one is not None
        assert other is not None
        assert (one[0].sign, one[0].logabsdet) == (other[0].sign, other[0].logabsdet)
        torch.testing.assert_close(one[1], other[1], rtol=1e-13, atol=1e-13)
    assert factorize(systems[1]).sign == 0
    assert factorize(systems[2]).sign != 0
    with pytest.raises(FloatingPointError):
        factorize(systems[4])


def test_a_singular_last_block_leaves_the_batch_too() -> None:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[3, 3] = 0
    systems = [
        system_of(torch.eye(4, dtype=torch.float64), [2, 2], "band"),
        system_of(matrix, [2, 2], "band"),
    ]
    sound, singular = factorize_together_and_solve_transpose(
        padded_together(systems), rights_of(systems), keep=True
    )
    assert sound is not None
    assert sound[0].sign == 1
    assert singular is None


def test_a_last_block_with_a_tiny_pivot_waits_for_nothing() -> None:
    matrix = torch.diag(torch.tensor([1, -1, 1, 1e-14], dtype=torch.float64))
    systems = [system_of(matrix.clone(), [2, 2], "band") for _ in range(2)]
    for one in factorize_together_and_solve_transpose(
        padded_together(systems), rights_of(systems), keep=False
    ):
        assert one is not None
        assert (one[0].sign, one[0].logabsdet) == (-1, pytest.approx(math.log(1e-14), rel=1e-12))


def test_nothing_to_eliminate_has_determinant_one() -> None:
    nothing = BlockSystem((0, 0), ((1,), ()), lambda out, i, j: None)
    for one in factorize_together_and_solve_transpose(
        padded_together([nothing, nothing]), rights_of([nothing, nothing]), keep=True
    ):
        assert one is not None
        assert (one[0].sign, one[0].logabsdet) == (1, 0.0)
        assert one[1].shape == (0, 3)


def test_single_precision_stays_single() -> None:
    sizes, generator = [3, 4, 2], torch.Generator().manual_seed(3)
    systems = [
        system_of(torch.randn(9, 9, generator=generator) + 8 * torch.eye(9), sizes, "band") for _ in range(3)
    ]
    for system, one in zip(
        systems,
        factorize_together_and_solve_transpose(padded_together(systems), rights_of(systems), keep=False),
        strict=True,
    ):
        assert one is not None
        assert one[1].dtype == torch.float32
        assert one[0].logabsdet == pytest.approx(factorize(system).logabsdet, rel=1e-5)


def test_systems_of_another_coupling_are_refused() -> None:
    one = system_of(torch.eye(4, dtype=torch.float64), [2, 2], "band")
    other = system_of(torch.eye(4, dtype=torch.float64), [2, 2], "apart")
    with pytest.raises(ValueError, match="coupling"):
        padded_together([one, other])
