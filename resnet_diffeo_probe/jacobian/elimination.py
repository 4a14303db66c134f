"""Sign, log|det| and solves of a block-sparse matrix by frontal block elimination (MATH.md, section 2).

The blocks are image rows of the reduced matrix; a row couples only to rows within the receptive field of the
branch, so one small dense front travels down the image. Any other coupling (circular padding, say) fills the front
and stays right. Everything inside a front is dense BLAS-3: LU with partial pivoting, triangular solves, one GEMM.

Reference: block LU factorisation, Golub & Van Loan, Matrix Computations, 4th ed., section 3.2.11; fronts: Irons,
A frontal solution program for finite element analysis, Int. J. Numer. Methods Eng. 2 (1970).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = [
    "BlockFactorization",
    "BlockSystem",
    "elimination_flops",
    "factor_entries",
    "factorize",
    "front_members",
]


# From this many rows in a block on it pays to look for zero columns.
_SPARSE_ORDER = 512


@dataclass(frozen=True)
class BlockSystem:
    """A square matrix given by dense blocks.

    Attributes:
        sizes: rows of each diagonal block, in the order of elimination; zero is allowed.
        coupled: for each block i the blocks j > i with a non-zero block at (i, j) or (j, i), ascending.
        add_block: `add_block(out, i, j)` adds block (i, j) to the view `out` of shape (sizes[i], sizes[j]).
        dtype: of the blocks.
        device: of the blocks.
    """

    sizes: tuple[int, ...]
    coupled: tuple[tuple[int, ...], ...]
    add_block: Callable[[Tensor, int, int], None]
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def order(self) -> int:
        """Number of rows of the whole matrix."""
        return sum(self.sizes)

    def dense(self) -> Tensor:
        """Return the whole matrix: for tests and small orders."""
        start = _starts(self.sizes)
        full = torch.zeros(self.order, self.order, dtype=self.dtype, device=self.device)
        for i in range(len(self.sizes)):
            for j in (i, *self.coupled[i]):
                self.add_block(full[start[i] : start[i + 1], start[j] : start[j + 1]], i, j)
                if j != i:
                    self.add_block(full[start[j] : start[j + 1], start[i] : start[i + 1]], j, i)
        return full


@dataclass(frozen=True)
class _Step:
    """One eliminated block: M restricted to it and the front is [[D, ·], [lower, ·]], upper = D⁻¹ M₁₂."""

    lu: Tensor
    pivots: Tensor
    upper: Tensor
    lower: Tensor
    members: tuple[int, ...]


@dataclass(frozen=True)
class BlockFactorization:
    """What elimination found.

    Attributes:
        sign: −1, 0 or +1; 0 where an exact zero pivot was met.
        logabsdet: log|det|, minus infinity where sign is 0.
        sizes: the blocks, in the order of elimination.
        steps: the factors for solves, None if they were not kept.
    """

    sign: int
    logabsdet: float
    sizes: tuple[int, ...]
    steps: tuple[_Step, ...] | None

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
        columns = right if right.dim() == 2 else right[:, None]
        parts = list(torch.split(columns.clone(), list(self.sizes)))
        for i, step in enumerate(self.steps):
            if not transpose:
                parts[i] = torch.linalg.lu_solve(step.lu, step.pivots, parts[i])
            _subtract_from(parts, step.members, (step.upper.mT if transpose else step.lower) @ parts[i])
        for i in reversed(range(len(self.steps))):
            step = self.steps[i]
            if step.members:
                ahead = torch.cat([parts[j] for j in step.members])
                parts[i] = parts[i] - (step.lower.mT if transpose else step.upper) @ ahead
            if transpose:
                parts[i] = torch.linalg.lu_solve(step.lu, step.pivots, parts[i], adjoint=True)
        return torch.cat(parts).reshape(right.shape)


def factorize(system: BlockSystem, *, keep: bool = False) -> BlockFactorization:
    """Eliminate the blocks of a system in order.

    Args:
        system: the matrix.
        keep: keep the factors for solves (memory: about order × front × itemsize).

    Returns:
        Sign, log|det| and, if kept, the factors.

    Raises:
        FloatingPointError: the matrix holds, or elimination made, infinities or NaN.
    """
    sizes = system.sizes
    largest = max((sum(sizes[j] for j in (i, *m)) for i, m in enumerate(front_members(system))), default=0)
    # two buffers in turn: the update of one step is copied into the front of the next
    buffers = [torch.empty(largest * largest, dtype=system.dtype, device=system.device) for _ in range(2)]
    update: Tensor | None = None
    update_members: tuple[int, ...] = ()
    sign, steps = 1, []
    log_pivots: list[Tensor] = []
    for i, members in enumerate(front_members(system)):
        order = (i, *members)
        starts = _starts([sizes[j] for j in order])
        size = starts[-1]
        front = buffers[i % 2][: size * size].view(size, size)
        _carry(update, update_members, front, order, starts, sizes)
        place = {j: slice(starts[k], starts[k + 1]) for k, j in enumerate(order)}
        system.add_block(front[place[i], place[i]], i, i)
        for j in system.coupled[i]:
            system.add_block(front[place[i], place[j]], i, j)
            system.add_block(front[place[j], place[i]], j, i)
        m = sizes[i]
        lu, pivots, _ = torch.linalg.lu_factor_ex(front[:m, :m])
        diagonal = lu.diagonal()
        if m:
            swaps = int((pivots != torch.arange(1, m + 1, dtype=pivots.dtype, device=pivots.device)).sum())
            negative = int((diagonal < 0).sum())
            sign *= -1 if (swaps + negative) % 2 else 1
            magnitude = diagonal.abs()
            log_pivots.append(magnitude.log().sum())
            if not bool(torch.isfinite(log_pivots[-1])):
                if bool(torch.isnan(log_pivots[-1])) or bool(torch.isinf(diagonal).any()):
                    raise FloatingPointError("the elimination met a value that is not finite")
                return BlockFactorization(0, -torch.inf, sizes, None)
        upper = torch.linalg.lu_solve(lu, pivots, front[:m, m:]) if m else front[:m, m:].clone()
        lower = front[m:, :m].clone() if keep else front[m:, :m]
        update = front[m:, m:]
        if m and size > m:
            _subtract_product(update, lower, upper)
        update_members = members
        if keep:
            steps.append(_Step(lu, pivots, upper, lower, members))
    return BlockFactorization(
        sign,
        float(torch.stack(log_pivots).sum()) if log_pivots else 0.0,
        sizes,
        tuple(steps) if keep else None,
    )


def _subtract_product(update: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Subtract lower @ upper, leaving out runs of zero columns.

    The block that has just entered the front is still as sparse as the convolutions made it: each of its pixels couples
    to a few pixels of the eliminated row. At a band of two that saves a fifth of all flops.
    """
    rows, inner = lower.shape
    if inner < _SPARSE_ORDER:
        update.addmm_(lower, upper, alpha=-1)
        return
    pieces: list[tuple[int, int, int, int]] = []  # rows from, to; columns from, to
    for start in range(0, rows, _SPARSE_ORDER // 2):
        stop = min(start + _SPARSE_ORDER // 2, rows)
        used = (lower[start:stop] != 0).any(dim=0).nonzero()
        if not used.numel():
            continue
        first, last = int(used[0]), int(used[-1]) + 1
        if last - first > 0.75 * inner:  # dense: one large product is faster than several
            first, last = 0, inner
        above = (
            pieces.pop() if pieces and pieces[-1][1:] == (start, 0, inner) and last - first == inner else None
        )
        pieces.append((start if above is None else above[0], stop, first, last))
    for start, stop, first, last in pieces:
        update[start:stop].addmm_(lower[start:stop, first:last], upper[first:last], alpha=-1)


def front_members(system: BlockSystem) -> list[tuple[int, ...]]:
    """Return, for each block i, the later blocks in its front: its neighbours and what elimination filled in."""
    members: list[tuple[int, ...]] = []
    carried: set[int] = set()
    for i, neighbours in enumerate(system.coupled):
        carried = (carried | set(neighbours)) - {i}
        members.append(tuple(sorted(carried)))
    return members


def elimination_flops(system: BlockSystem) -> float:
    """Return the floating-point operations of `factorize`: LU 2m³/3, two triangular solves 2m²f, GEMM 2mf²."""
    total = 0.0
    for i, members in enumerate(front_members(system)):
        m, f = float(system.sizes[i]), float(sum(system.sizes[j] for j in members))
        total += 2 * m**3 / 3 + 2 * m * m * f + 2 * m * f * f
    return total


def factor_entries(system: BlockSystem) -> float:
    """Return how many numbers the kept factors and the two buffers of the largest front hold."""
    total = largest = 0.0
    for i, members in enumerate(front_members(system)):
        m, f = float(system.sizes[i]), float(sum(system.sizes[j] for j in members))
        total += m * (m + 2 * f)
        largest = max(largest, 2 * (m + f) ** 2)
    return total + largest


def _starts(sizes: Sequence[int]) -> list[int]:
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return starts


def _carry(
    update: Tensor | None,
    held: tuple[int, ...],
    front: Tensor,
    order: tuple[int, ...],
    starts: Sequence[int],
    sizes: Sequence[int],
) -> None:
    """Copy the update of the last step into the new front and clear what is new in it."""
    if update is None:
        front.zero_()
        return
    kept = update.shape[0]
    if held == order[: len(held)]:  # the band case: new blocks only come behind
        front[:kept, :kept] = update
        front[kept:].zero_()
        front[:kept, kept:].zero_()
        return
    front.zero_()
    place = {j: slice(starts[k], starts[k + 1]) for k, j in enumerate(order)}
    at = _starts([sizes[j] for j in held])
    for a, j in enumerate(held):
        for b, k in enumerate(held):
            front[place[j], place[k]] = update[at[a] : at[a + 1], at[b] : at[b + 1]]


def _subtract_from(parts: list[Tensor], members: tuple[int, ...], amount: Tensor) -> None:
    if members:
        for j, piece in zip(members, torch.split(amount, [parts[j].shape[0] for j in members]), strict=True):
            parts[j] = parts[j] - piece
