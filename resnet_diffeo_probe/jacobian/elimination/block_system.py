"""A square matrix given by dense blocks, in the order in which they are eliminated, and what elimination will cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

__all__ = ["BlockSystem", "elimination_flops", "factor_entries", "front_members", "starts_of"]


@dataclass(frozen=True)
class BlockSystem:
    """A square matrix given by dense blocks, or several of the same shape.

    Attributes:
        sizes: rows of each diagonal block, in the order of elimination; zero is allowed.
        coupled: for each block i the blocks j > i with a non-zero block at (i, j) or (j, i), ascending.
        add_block: `add_block(out, i, j)` adds block (i, j) to the view `out` of shape (*batch, sizes[i], sizes[j]).
        dtype: of the blocks.
        device: of the blocks.
        batch: empty for one matrix, (B,) for B of them that are eliminated together.
    """

    sizes: tuple[int, ...]
    coupled: tuple[tuple[int, ...], ...]
    add_block: Callable[[Tensor, int, int], None]
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: tuple[int, ...] = ()

    @property
    def order(self) -> int:
        """Number of rows of the whole matrix."""
        return sum(self.sizes)

    def dense(self) -> Tensor:
        """Return the whole matrix, (*batch, order, order): for tests and small orders."""
        start = starts_of(self.sizes)
        full = torch.zeros(*self.batch, self.order, self.order, dtype=self.dtype, device=self.device)
        for i in range(len(self.sizes)):
            for j in (i, *self.coupled[i]):
                self.add_block(full[..., start[i] : start[i + 1], start[j] : start[j + 1]], i, j)
                if j != i:
                    self.add_block(full[..., start[j] : start[j + 1], start[i] : start[i + 1]], j, i)
        return full


def starts_of(sizes: Sequence[int]) -> list[int]:
    """Return where each of consecutive pieces starts, and where the last one ends."""
    return list(accumulate(sizes, initial=0))


def front_members(system: BlockSystem) -> list[tuple[int, ...]]:
    """Return, for each block i, the later blocks in its front: its neighbours and what elimination filled in."""
    members: list[tuple[int, ...]] = []
    carried: set[int] = set()
    for i, neighbours in enumerate(system.coupled):
        carried = (carried | set(neighbours)) - {i}
        members.append(tuple(sorted(carried)))
    return members


def elimination_flops(system: BlockSystem) -> float:
    """Return the floating-point operations of elimination: LU 2m³/3, two triangular solves 2m²f, GEMM 2mf².

    An upper bound: products with blocks that are still as sparse as the convolutions made them take fewer.
    """
    total = 0.0
    for m, f in _steps(system):
        total += 2 * m**3 / 3 + 2 * m * m * f + 2 * m * f * f
    return total


def factor_entries(system: BlockSystem, *, keep: bool = True) -> float:
    """Return how many numbers elimination holds at once for each matrix, beside the blocks that it is given.

    Args:
        system: the matrix.
        keep: whether all factors are kept, or just the part that solves with the transposed matrix need at the end.
    """
    total = largest = 0.0
    for m, f in _steps(system):
        total += m * (m + 2 * f) if keep else m * f
        # beside the buffer: the LU and the left factor of one step, and copies that LAPACK makes of its arguments
        largest = max(largest, front_buffer_side(system.order, m + f) ** 2 + 2 * m * (m + f))
    return total + largest


def front_buffer_side(order: int, front: float) -> int:
    """Return the side of the buffer in which a front of this size slides along a matrix of this order."""
    return int(min(order, 2 * front))


def _steps(system: BlockSystem) -> list[tuple[float, float]]:
    """Return rows eliminated and rows of the rest of the front, for each block."""
    sizes = system.sizes
    return [
        (float(sizes[i]), float(sum(sizes[j] for j in members)))
        for i, members in enumerate(front_members(system))
    ]
