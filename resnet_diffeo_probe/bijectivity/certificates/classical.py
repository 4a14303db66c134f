"""What norms alone prove: J + ΔJ is regular where ‖ΔJ‖ < σ_min(J), whichever hidden units change slope."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["change", "last_holding", "units_below"]

# Far above the rounding of an eigenvalue of a thousand rows (about 1e-13), far below what a unit adds to a norm.
_CLEAR = 1e-9


def change(effects: Tensor, gradients: Tensor, width: Tensor, m: int) -> float:
    """Return the bound ‖L_U‖ · max|Δ| · ‖R_U‖ of ‖ΔJ‖ where the first m units U change slope.

    Args:
        effects: (k, k) LᵀL, the Gram matrix of the units' effects.
        gradients: (k, k) R Rᵀ, of their gradients.
        width: (k,) slope change at most, in absolute value.
        m: at least one.
    """
    squares = [float(torch.linalg.eigvalsh(gram[:m, :m])[-1]) for gram in (effects, gradients)]
    return float(width[:m].max()) * math.sqrt(max(squares[0], 0.0) * max(squares[1], 0.0))


def last_holding(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return a number that holds and whose successor does not, by bisection.

    Args:
        holds: the condition.
        low: where it holds.
        high: where it does not.
    """
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def units_below(effects: Tensor, gradients: Tensor, width: Tensor, sigma_min: float) -> int:
    """Return how many of the units, the first ones, can change slope before the bound `change` reaches σ_min.

    The number is that of asking for one, two, three units and so on until one is too many, which takes two
    decompositions a unit. The bound never falls as units are added (Cauchy's interlacing of the eigenvalues of
    a leading block): where it is below σ_min by more than rounding, it is so for all fewer units, and these need not
    be asked. Only what lies within rounding of σ_min is taken unit by unit.

    Args:
        effects: (k, k) LᵀL, float64.
        gradients: (k, k) R Rᵀ, float64.
        width: (k,) slope change at most.
        sigma_min: smallest singular value of J.
    """
    count = width.numel()

    def clear(m: int) -> bool:
        return change(effects, gradients, width, m) * (1 + _CLEAR) < sigma_min

    m, ahead = 0, min(1, count)
    while m < ahead and clear(ahead):
        m, ahead = ahead, min(2 * ahead, count)
    m = last_holding(clear, m, ahead)
    while m < count and change(effects, gradients, width, m + 1) < sigma_min:
        m += 1
    return m
