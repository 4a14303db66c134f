"""What block elimination leaves behind: sign, log|det|, and solves with the matrix and its transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BlockFactorization", "EliminatedBlock", "gather", "subtract_from"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class EliminatedBlock:
    """One eliminated block D of [[D, upper], [lower, ·]] = [[I, 0], [left, I]] · [[D, upper], [0, ·]].

    Attributes:
        lu: LU of Dᵀ: rows of D are columns to LAPACK, which therefore takes Dᵀ as it lies.
        pivots: of that LU.
        left: lower D⁻¹, (f, m).
        upper: (m, f).
        own: rows from, to of the block in the matrix.
        ahead: the same of the rest of the front, in its order.
    """

    lu: Tensor
    pivots: Tensor
    left: Tensor
    upper: Tensor
    own: tuple[int, int]
    ahead: Ranges


@dataclass(frozen=True)
class BlockFactorization:
    """What elimination found.

    Attributes:
        sign: −1, 0 or +1; 0 where the last pivots are exactly zero.
        logabsdet: log|det|, minus infinity where sign is 0.
        steps: the factors for solves, None if they were not kept.
        logabsdet_rounding: bound of the error of `logabsdet` as a sum of logarithms, for the pivots as they are;
            infinite where it is not known.
    """

    sign: int
    logabsdet: float
    steps: tuple[EliminatedBlock, ...] | None
    logabsdet_rounding: float = math.inf

    def solve(self, right: Tensor, *, transpose: bool = False) -> Tensor:
        """Return M⁻¹ b, or M⁻ᵀ b.

        Args:
            right: (order,) or (order, k).
            transpose: solve with the transposed matrix.

        Raises:
            RuntimeError: the factors were not kept, or the matrix is singular.
        """
        if self.steps is None:
            raise RuntimeError("the factors were not kept: factorize(system, keep=True)")
        if self.sign == 0:
            raise RuntimeError("the matrix is singular")
        x = (right if right.dim() == 2 else right[:, None]).clone()
        for step in self.steps:
            own = x[slice(*step.own)]
            if transpose:
                own.copy_(torch.linalg.lu_solve(step.lu, step.pivots, own))
            subtract_from(x, step.ahead, (step.upper.mT if transpose else step.left) @ own)
        for step in reversed(self.steps):
            own = x[slice(*step.own)]
            if step.ahead:
                own -= (step.left.mT if transpose else step.upper) @ gather(x, step.ahead)
            if not transpose:
                own.copy_(torch.linalg.lu_solve(step.lu, step.pivots, own, adjoint=True))
        return x.reshape(right.shape)


def gather(x: Tensor, ranges: Ranges) -> Tensor:
    """Return these rows of x, (…, order, k), one range after another; a view where there is one range."""
    pieces: Sequence[Tensor] = [x[..., start:stop, :] for start, stop in ranges]
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim=-2)


def subtract_from(x: Tensor, ranges: Ranges, amount: Tensor) -> None:
    """Subtract the rows of `amount` from these rows of x, in place."""
    at = 0
    for start, stop in ranges:
        x[..., start:stop, :] -= amount[..., at : at + stop - start, :]
        at += stop - start
