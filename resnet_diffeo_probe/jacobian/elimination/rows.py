"""Sign, log|det| and solves of a block-sparse matrix by frontal block elimination.

The blocks are image rows of the reduced matrix; a row couples only to rows within the receptive field of the
branch, so one small dense front travels down the image. Any other coupling (circular padding, say) fills the front
and stays right. Everything inside a front is dense BLAS-3: LU with partial pivoting, triangular solves, GEMM.

A block that is singular by itself, or nearly so, says nothing about the matrix: it stays in the front and is
eliminated together with the next one (delayed pivots: Duff and Reid, ACM Trans. Math. Softw. 9, 1983).

Reference: block LU factorisation, Golub & Van Loan, Matrix Computations, 4th ed., section 3.2.11.

See docs/mathematics.md, "An exact determinant".
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.block_factorization import (
    BlockFactorization,
    EliminatedBlock,
    Ranges,
    gather,
    subtract_from,
)
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem, front_members, starts_of
from resnet_diffeo_probe.jacobian.elimination.front import Front
from resnet_diffeo_probe.jacobian.elimination.pivots import PivotRecord

__all__ = ["factorize", "factorize_and_solve_transpose", "is_nearly_singular"]

# From this many rows in a block on it pays to look for zero rows, in pieces of so many columns at least.
_SPARSE_ORDER = 192
_PIECE = 48
# … where less than this share of the columns is left to multiply.
_DENSE = 0.7
# A block waits where its smallest pivot, relative to the largest, is below this power of the rounding error: it would
# cost three quarters of the digits. Not more than so many blocks wait for that, or more of them up to so many rows,
# where waiting costs nothing; all of them for a pivot of zero. A tiny pivot that is taken then costs digits, and the
# interval of log|det| (`check.py`) says how many.
_DELAY = 0.75
_DELAYED_BLOCKS = 4
_DELAYED_ROWS = 1024


def factorize(system: BlockSystem, *, keep: bool = False) -> BlockFactorization:
    """Eliminate the blocks of a system in order.

    Args:
        system: the matrix.
        keep: keep the factors for solves; memory: `factor_entries`.

    Returns:
        Sign, log|det| and, if kept, the factors.

    Raises:
        FloatingPointError: the matrix holds, or elimination made, infinities or NaN.
    """
    pivots = PivotRecord()
    steps: list[EliminatedBlock] = []
    for step in _eliminate(system, pivots):
        if keep:
            # `upper` is a view of the front, which moves on
            kept = EliminatedBlock(step.lu, step.pivots, step.left, step.upper.clone(), step.own, step.ahead)
            steps.append(kept)
    found = pivots.logdet()
    return BlockFactorization(
        found.sign, found.logabsdet, tuple(steps) if keep and found.sign else None, found.rounding
    )


def factorize_and_solve_transpose(
    system: BlockSystem, right: Tensor
) -> tuple[BlockFactorization, Tensor | None]:
    """Eliminate, and solve Mᵀ x = b along the way: less than half of the memory of kept factors.

    Forward substitution goes with the elimination; only what backward substitution needs is kept.

    Args:
        system: the matrix.
        right: (order, k).

    Returns:
        Sign and log|det|, and M⁻ᵀ b, (order, k); None where M is singular.

    Raises:
        FloatingPointError: as `factorize`.
    """
    pivots = PivotRecord()
    x = right.clone()
    kept: list[tuple[Tensor, tuple[int, int], Ranges]] = []
    for step in _eliminate(system, pivots):
        own = x[slice(*step.own)]
        own.copy_(torch.linalg.lu_solve(step.lu, step.pivots, own))
        subtract_from(x, step.ahead, step.upper.mT @ own)
        kept.append((step.left, step.own, step.ahead))
    logdet = pivots.logdet()
    found = BlockFactorization(logdet.sign, logdet.logabsdet, None, logdet.rounding)
    if found.sign == 0:
        return found, None
    for left, place, ahead in reversed(kept):
        if ahead:
            x[slice(*place)] -= left.mT @ gather(x, ahead)
    return found, x


def _eliminate(system: BlockSystem, pivots: PivotRecord) -> Iterator[EliminatedBlock]:
    """Yield the factors of one block after another; `upper` is valid until the next one.

    Stops at blocks that stay singular to the end, with their zero pivots recorded.
    """
    front, sizes = Front(system), system.sizes
    starts = starts_of(sizes)
    own: tuple[int, ...] = ()
    before: frozenset[int] = frozenset()
    for i, members in enumerate(front_members(system)):
        own = (*own, i)
        window = front.enter((*own, *members), i)
        m = starts[i + 1] - starts[own[0]]
        fresh = sum(sizes[j] for j in members if j not in before)
        before = frozenset((*own, *members))
        lu, swaps, _ = torch.linalg.lu_factor_ex(window[:m, :m].mT)
        if members and m and _is_delayed(lu.diagonal(), len(own)):
            continue
        pivots.add(lu, swaps)
        left = torch.linalg.lu_solve(lu, swaps, window[m:, :m].mT).mT if m else window[m:, :m]
        upper, update = window[:m, m:], window[m:, m:]
        if m and members:
            _subtract_product(update, left, upper, fresh)
        ahead = tuple((starts[j], starts[j + 1]) for j in members if sizes[j])
        yield EliminatedBlock(lu, swaps, left, upper, (starts[own[0]], starts[i + 1]), ahead)
        front.leave(len(own))
        own = ()


def _is_delayed(diagonal: Tensor, blocks: int) -> bool:
    """Return whether blocks with these pivots wait for the next one."""
    magnitude = diagonal.abs()
    smallest, largest = torch.stack([magnitude.min(), magnitude.max()]).tolist()
    if smallest == 0:
        return True
    waits = blocks < _DELAYED_BLOCKS or diagonal.numel() <= _DELAYED_ROWS
    return waits and is_nearly_singular(smallest, largest, diagonal.dtype)


def is_nearly_singular(smallest: float, largest: float, dtype: torch.dtype) -> bool:
    """Return whether a block with pivots of these magnitudes is left for later, where it may be."""
    tiny = float(torch.finfo(dtype).eps ** _DELAY)
    # the matrices here are I + …: a one is as natural a size as the largest pivot
    return smallest == 0 or smallest < tiny * max(largest, 1.0)


def _subtract_product(update: Tensor, left: Tensor, upper: Tensor, fresh: int) -> None:
    """Subtract left @ upper, leaving out runs of zero rows of the last `fresh` columns of upper.

    A block that has just entered the front is still as sparse as the convolutions made it: each of its pixels couples
    to a few pixels of the eliminated row. At a band of two that saves a fifth of all flops, at a band of one half.
    """
    inner, width = upper.shape
    if inner < _SPARSE_ORDER or not fresh:
        update.addmm_(left, upper, alpha=-1)
        return
    if fresh < width:
        update[:, : width - fresh].addmm_(left, upper[:, : width - fresh], alpha=-1)
    piece = max(_PIECE, inner // 8)
    pieces = []
    for start in range(width - fresh, width, piece):
        stop = min(start + piece, width)
        rows = (upper[:, start:stop] != 0).any(dim=1).nonzero()
        if rows.numel():
            pieces.append((start, stop, int(rows[0]), int(rows[-1]) + 1))
    if sum((stop - start) * (last - first) for start, stop, first, last in pieces) > _DENSE * inner * fresh:
        pieces = [(width - fresh, width, 0, inner)]  # one large product is faster than several
    for start, stop, first, last in pieces:
        update[:, start:stop].addmm_(left[:, first:last], upper[first:last, start:stop], alpha=-1)
