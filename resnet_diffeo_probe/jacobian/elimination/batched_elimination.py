"""Several matrices of one shape eliminated together: what is a step for one is a batched step for all.

On a GPU the launches of one small elimination take longer than its arithmetic; batched LU, triangular solves and
products launch as often for a dozen matrices as for one. Nothing is waited for before the end: pivots are recorded on
the way and read once. A matrix with a block that would have had to wait (delayed pivots, see `elimination`) leaves the
batch, and its user eliminates it alone; in a batch its numbers touch no other's.

The tests run this on the CPU; no GPU has run it, and how much faster it is there was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, on_device
from resnet_diffeo_probe.jacobian.elimination.block_factorization import (
    BlockFactorization,
    EliminatedBlock,
    Ranges,
    gather,
    subtract_from,
)
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem, front_members, starts_of
from resnet_diffeo_probe.jacobian.elimination.front import Front
from resnet_diffeo_probe.jacobian.elimination.layout import FloatArray
from resnet_diffeo_probe.jacobian.elimination.pivots import PivotLogdet, PivotRecord
from resnet_diffeo_probe.jacobian.elimination.rows import is_nearly_singular

__all__ = ["PaddedBatch", "factorize_together_and_solve_transpose", "padded_together"]


@dataclass(frozen=True)
class PaddedBatch:
    """B matrices, every block of each filled up to the largest of its kind with rows and columns of the identity.

    These change neither sign nor log|det|: each is a block of its own with the determinant one.

    Attributes:
        system: of all of them, with a `batch` of (B,) and the padded sizes.
        sizes: (B, blocks) the rows of each block of each matrix, not padded; they come first in the padded block.
    """

    system: BlockSystem
    sizes: IntArray

    @property
    def places(self) -> IntArray:
        """Where the rows of the matrices, one matrix after another, lie in a (B · padded order) vector."""
        padded = np.asarray(starts_of(self.system.sizes))
        return np.concatenate(
            [
                member * padded[-1]
                + np.arange(sizes.sum())
                + np.repeat(padded[:-1] - np.cumsum(sizes) + sizes, sizes)
                for member, sizes in enumerate(self.sizes)
            ]
        )


def padded_together(systems: Sequence[BlockSystem]) -> PaddedBatch:
    """Return matrices of the same coupling as a batch.

    Raises:
        ValueError: they couple differently, or are of different dtypes or devices.
    """
    first = systems[0]
    if any((s.coupled, s.dtype, s.device) != (first.coupled, first.dtype, first.device) for s in systems):
        raise ValueError("matrices of one batch have the same coupling, dtype and device")
    sizes = np.array([system.sizes for system in systems], dtype=np.int64).reshape(len(systems), -1)

    def add_block(out: Tensor, i: int, j: int) -> None:
        for member, system in enumerate(systems):
            rows, columns = sizes[member, i], sizes[member, j]
            if rows and columns:
                system.add_block(out[member, :rows, :columns], i, j)
            if i == j:
                out[member].diagonal()[rows:].add_(1)

    padded = tuple(int(size) for size in sizes.max(axis=0))
    batch = (len(systems),)
    return PaddedBatch(BlockSystem(padded, first.coupled, add_block, first.dtype, first.device, batch), sizes)


def factorize_together_and_solve_transpose(
    batch: PaddedBatch, rights: Sequence[Tensor], *, keep: bool
) -> list[tuple[BlockFactorization, Tensor] | None]:
    """Eliminate, and solve Mᵀ x = b along the way, for every matrix of a batch.

    Args:
        batch: the matrices.
        rights: b for each of them, (order, k), the same k for all.
        keep: keep the factors for solves.

    Returns:
        Sign and log|det|, and M⁻ᵀ b, (order, k), for each; None for a matrix that is to be eliminated alone: it has a
        block that is singular by itself, or nearly so, or numbers that are not finite.
    """
    system = batch.system
    starts, order = starts_of(system.sizes), system.order
    place = on_device(batch.places, rights[0])
    x = rights[0].new_zeros(len(rights) * order, rights[0].shape[1])
    x[place] = torch.cat(list(rights))
    x = x.view(len(rights), order, rights[0].shape[1])
    pivots = _BatchedPivots(batch)
    steps: list[list[EliminatedBlock]] = [[] for _ in rights]
    kept: list[tuple[Tensor, slice, Ranges]] = []
    front = Front(system)
    for i, members in enumerate(front_members(system)):
        window, m = front.enter((i, *members), i), system.sizes[i]
        front.leave(1)
        if not m:
            continue
        lu, swaps, _ = torch.linalg.lu_factor_ex(window[:, :m, :m].mT)
        pivots.add(lu, swaps)
        own = x[:, starts[i] : starts[i + 1]]
        own.copy_(torch.linalg.lu_solve(lu, swaps, own))
        left, upper = window[:, m:, :m], window[:, :m, m:]
        ahead = tuple((starts[j], starts[j + 1]) for j in members if system.sizes[j])
        if ahead:
            left = torch.linalg.lu_solve(lu, swaps, left.mT).mT
            subtract_from(x, ahead, upper.mT @ own)
            window[:, m:, m:].baddbmm_(left, upper, alpha=-1)
            kept.append((left, slice(starts[i], starts[i + 1]), ahead))
        if keep:
            for member, its_steps in enumerate(steps):
                its_steps.append(_step_of(batch, member, i, members, (lu, swaps, left, upper)))
    for left, rows, ahead in reversed(kept):
        x[:, rows] -= left.mT @ gather(x, ahead)
    solved = x.flatten(0, 1)[place].split([right.shape[0] for right in rights])
    return [
        None if logdet is None else (_factorization(logdet, its_steps if keep else None), each)
        for logdet, its_steps, each in zip(pivots.logdets(), steps, solved, strict=True)
    ]


def _factorization(logdet: PivotLogdet, steps: Sequence[EliminatedBlock] | None) -> BlockFactorization:
    kept = None if steps is None else tuple(steps)
    return BlockFactorization(logdet.sign, logdet.logabsdet, kept, logdet.rounding)


def _step_of(
    batch: PaddedBatch, member: int, block: int, ahead: Sequence[int], factors: tuple[Tensor, ...]
) -> EliminatedBlock:
    """Return one matrix's own part of a step, without the padding; copies, since the front moves on."""
    lu, swaps, left, upper = (factor[member] for factor in factors)
    sizes, padded = batch.sizes[member].tolist(), [batch.system.sizes[j] for j in ahead]
    m, starts = sizes[block], starts_of(sizes)
    real = tuple((at, at + sizes[j]) for at, j in zip(starts_of(padded), ahead, strict=False) if sizes[j])
    if not real:
        left, upper = left[:0], upper[:, :0]
    else:
        left, upper = gather(left, real), gather(upper.mT, real).mT
    return EliminatedBlock(
        # LAPACK takes columns: kept as such, a solve needs no copy
        lu[:m, :m].mT.clone(memory_format=torch.contiguous_format).mT,
        swaps[:m].clone(),
        left[:, :m].clone(memory_format=torch.contiguous_format),
        upper[:m].clone(memory_format=torch.contiguous_format),
        (starts[block], starts[block + 1]),
        tuple((starts[j], starts[j + 1]) for j in ahead if sizes[j]),
    )


class _BatchedPivots:
    """Diagonals and row swaps of all LUs of a batch; read once at the end, so that a GPU is not waited for."""

    def __init__(self, batch: PaddedBatch) -> None:
        self._batch = batch
        self._diagonals: list[Tensor] = []
        self._swaps: list[Tensor] = []

    def add(self, lu: Tensor, swaps: Tensor) -> None:
        """Record a step: (B, m, m) and (B, m)."""
        rows = torch.arange(1, swaps.shape[1] + 1, dtype=swaps.dtype, device=swaps.device)
        self._diagonals.append(lu.diagonal(dim1=-2, dim2=-1).clone())
        self._swaps.append(swaps != rows)

    def logdets(self) -> list[PivotLogdet | None]:
        """Return sign and log|det| of each matrix, None where it is to be eliminated alone."""
        system, count = self._batch.system, len(self._batch.sizes)
        if not self._diagonals:
            return [PivotRecord().logdet()] * count
        # it is here that a GPU is waited for
        diagonals, swaps = torch.cat(self._diagonals, 1).cpu(), torch.cat(self._swaps, 1).cpu()
        starts, may_wait = starts_of(system.sizes)[:-1], [bool(ahead) for ahead in front_members(system)]
        found: list[PivotLogdet | None] = []
        for sizes, diagonal, swapped in zip(self._batch.sizes.tolist(), diagonals, swaps, strict=True):
            magnitudes = diagonal.abs().double().numpy()
            blocks = [magnitudes[at : at + size] for at, size in zip(starts, sizes, strict=True)]
            if any(
                _leaves(block, system.dtype, waits) for block, waits in zip(blocks, may_wait, strict=True)
            ):
                found.append(None)
                continue
            record = PivotRecord()
            # the pivots of the padding are ones, and never swapped
            record.add_pivots(diagonal, swapped)
            found.append(record.logdet())
        return found


def _leaves(pivots: FloatArray, dtype: torch.dtype, may_wait: bool) -> bool:
    """Return whether a block with these pivots is not for a batch.

    Args:
        pivots: (m,) magnitudes.
        dtype: in which they were found.
        may_wait: whether anything comes after it with which it could be eliminated together.
    """
    if not pivots.size:
        return False
    smallest, largest = float(pivots.min()), float(pivots.max())
    if not math.isfinite(largest) or smallest == 0:
        return True
    return may_wait and is_nearly_singular(smallest, largest, dtype)
