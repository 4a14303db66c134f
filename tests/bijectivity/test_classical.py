"""How many units norms alone allow to change: the few decompositions give what one for every unit gives."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.classical import change, last_holding, units_below


def one_by_one(effects: Tensor, gradients: Tensor, width: Tensor, sigma_min: float) -> int:
    m = 0
    while m < width.numel() and change(effects, gradients, width, m + 1) < sigma_min:
        m += 1
    return m


def grams(seed: int, count: int, rank: int, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gram matrices of units of which some do nothing, so that the bound stands still here and there."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    idle = (torch.rand(count, 1, generator=generator) < share).double()
    effects, gradients = draw(count, rank) * (1 - idle), draw(count, rank) * (1 - idle)
    return effects @ effects.mT, gradients @ gradients.mT, draw(count).abs()


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 40),
    rank=st.integers(1, 12),
    share=st.floats(0, 1),
    at=st.floats(0, 1),
    nudge=st.sampled_from([0.0, 1e-16, -1e-16, 1e-12, -1e-12, 1e-3, -1e-3, math.inf]),
)
@settings(max_examples=150, deadline=None)
def test_the_number_is_that_of_asking_unit_by_unit(
    seed: int, count: int, rank: int, share: float, at: float, nudge: float
) -> None:
    effects, gradients, width = grams(seed, count, rank, share)
    # a limit on, or within rounding of, what some number of units gives
    size = change(effects, gradients, width, max(1, round(at * count))) if count else 1.0
    limit = size * (1 + nudge) if size else nudge
    assert units_below(effects, gradients, width, limit) == one_by_one(effects, gradients, width, limit)


def test_where_the_bound_stands_still_at_the_limit() -> None:
    # orthogonal units of one size: the bound is 4 for any number of them, and 4 is not below 4
    eye, width = 4 * torch.eye(30).double(), torch.ones(30).double()
    assert units_below(eye, eye, width, 4.0) == 0
    assert units_below(eye, eye, width, math.nextafter(4.0, 5.0)) == 30
    assert units_below(eye, eye, width, math.nan) == 0
    assert units_below(eye[:0, :0], eye[:0, :0], width[:0], 4.0) == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_asks_a_logarithm_of_their_number(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    effects, gradients, width = grams(0, 128, 20, 0.0)
    whole = change(effects, gradients, width, 128)
    asked: list[int] = []
    decompose: Callable[[Tensor], Tensor] = torch.linalg.eigvalsh

    def counted(matrix: Tensor) -> Tensor:
        asked.append(matrix.shape[0])
        return decompose(matrix)

    monkeypatch.setattr(torch.linalg, "eigvalsh", counted)
    # none, some, or all of them may change
    units_below(effects, gradients, width, 2 * share * whole)
    assert len(asked) <= 2 * 18


def test_the_bisection_ends_where_the_next_fails() -> None:
    for low, high in [(0, 1), (0, 7), (3, 4), (5, 5)]:
        for last in range(low, max(high, low + 1)):
            assert last_holding(lambda m, last=last: m <= last, low, high) == last
