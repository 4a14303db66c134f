"""Block-sparse matrices over pixels in which equal blocks are stored once.

A convolution acts on an image of P pixels with C channels as a sparse matrix of P × P blocks, each C_out × C_in:
all blocks of one kernel tap are the same. Products of such matrices (two convolutions after another) keep this
redundancy, border effects included, so the composite of a residual branch at n = 200,704 is a table of a few dozen
small matrices and three integer arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["IntArray", "SharedBlockMatrix", "expand_pairs", "on_device"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SharedBlockMatrix:
    """A matrix of `pixels_out` × `pixels_in` blocks, `blocks[ids[e]]` at (rows[e], cols[e]), zero elsewhere.

    Rows and columns of the whole matrix are ordered by pixel first and channel second. Entries are sorted by
    (row, col) and no (row, col) occurs twice.

    Attributes:
        blocks: (U, C_out, C_in), the different blocks.
        rows: (E,) output pixel of each entry.
        cols: (E,) input pixel of each entry.
        ids: (E,) index into `blocks` of each entry.
        pixels_out: number of output pixels.
        pixels_in: number of input pixels.
    """

    blocks: Tensor
    rows: IntArray
    cols: IntArray
    ids: IntArray
    pixels_out: int
    pixels_in: int

    @property
    def channels_out(self) -> int:
        """Rows of one block."""
        return int(self.blocks.shape[1])

    @property
    def channels_in(self) -> int:
        """Columns of one block."""
        return int(self.blocks.shape[2])

    @classmethod
    def from_entries(
        cls, blocks: Tensor, rows: IntArray, cols: IntArray, ids: IntArray, *, pixels_out: int, pixels_in: int
    ) -> SharedBlockMatrix:
        """Return the matrix with these entries; entries at one place are added.

        Args:
            blocks: (U, C_out, C_in).
            rows: (E,) in [0, pixels_out), in any order, repetitions allowed.
            cols: (E,) in [0, pixels_in).
            ids: (E,) in [0, U).
            pixels_out: number of output pixels.
            pixels_in: number of input pixels.
        """
        place = rows * pixels_in + cols
        order = np.argsort(place, kind="stable")
        place, ids = place[order], ids[order]
        first = np.flatnonzero(np.r_[True, place[1:] != place[:-1]]) if place.size else place
        owner = np.zeros(place.size, dtype=np.int64)
        owner[first] = 1
        owner = np.cumsum(owner) - 1
        if first.size < place.size:
            blocks, ids = _add_coinciding(blocks, ids, owner, int(first.size))
        place = place[first]
        return cls(blocks, place // pixels_in, place % pixels_in, ids, pixels_out, pixels_in)

    @classmethod
    def diagonal(cls, block: Tensor, pixels: int) -> SharedBlockMatrix:
        """Return the block-diagonal matrix with one (C_out, C_in) block at every pixel."""
        at = np.arange(pixels)
        return cls(block[None], at, at, np.zeros(pixels, dtype=np.int64), pixels, pixels)

    def __matmul__(self, other: SharedBlockMatrix) -> SharedBlockMatrix:
        """Return the product; equal blocks of the product are computed once."""
        if self.pixels_in != other.pixels_out or self.channels_in != other.channels_out:
            raise ValueError(
                f"cannot multiply: {self.pixels_in} pixels of {self.channels_in} channels against "
                f"{other.pixels_out} of {other.channels_out}"
            )
        left, right = self.expand(other)
        pair = self.ids[left] * other.blocks.shape[0] + other.ids[right]
        distinct, pair_id = np.unique(pair, return_inverse=True)
        first, second = np.divmod(distinct, other.blocks.shape[0])
        products = torch.matmul(
            self.blocks[on_device(first, self.blocks)], other.blocks[on_device(second, other.blocks)]
        )
        return SharedBlockMatrix.from_entries(
            products,
            self.rows[left],
            other.cols[right],
            pair_id.reshape(-1).astype(np.int64),
            pixels_out=self.pixels_out,
            pixels_in=other.pixels_in,
        )

    def expand(self, other: SharedBlockMatrix) -> tuple[IntArray, IntArray]:
        """Return every pair (entry of self, entry of other) that meets in the product self @ other."""
        start = np.searchsorted(other.rows, np.arange(other.pixels_out + 1))
        return expand_pairs(self.cols, start)

    def dense(self) -> Tensor:
        """Return the whole matrix, (pixels_out·C_out, pixels_in·C_in): for tests and small n."""
        full = self.blocks.new_zeros(self.pixels_out, self.channels_out, self.pixels_in, self.channels_in)
        rows, cols, ids = (on_device(part, full) for part in (self.rows, self.cols, self.ids))
        full[rows, :, cols, :] = self.blocks[ids]
        return full.reshape(self.pixels_out * self.channels_out, self.pixels_in * self.channels_in)

    def to(self, dtype: torch.dtype, device: torch.device) -> SharedBlockMatrix:
        """Return the same matrix with its blocks in another dtype or on another device."""
        return SharedBlockMatrix(
            self.blocks.to(dtype=dtype, device=device),
            self.rows,
            self.cols,
            self.ids,
            self.pixels_out,
            self.pixels_in,
        )


def on_device(index: IntArray, like: Tensor) -> Tensor:
    """Return an index worked out by numpy as a tensor beside `like`."""
    return torch.from_numpy(np.ascontiguousarray(index)).to(like.device)


def expand_pairs(inner: IntArray, start: IntArray) -> tuple[IntArray, IntArray]:
    """Join entries to the rows of another matrix.

    Args:
        inner: (E,) for each left entry the row of the right matrix that it meets.
        start: (R + 1,) where each row of the right matrix begins in its entry list.

    Returns:
        (left, right), both (pairs,): indices of the entries that meet.
    """
    count = start[inner + 1] - start[inner]
    left = np.repeat(np.arange(inner.size), count)
    within = np.arange(left.size) - np.repeat(np.cumsum(count) - count, count)
    return left, np.repeat(start[inner], count) + within


def _add_coinciding(blocks: Tensor, ids: IntArray, owner: IntArray, places: int) -> tuple[Tensor, IntArray]:
    """Sum the blocks that share a place, once for each different multiset of blocks."""
    # A multiset is recognised by two independent 64-bit sums of random words: a false match has probability
    # below places² / 2^127.
    words = np.random.default_rng(20190503).integers(0, 2**64, size=(2, blocks.shape[0]), dtype=np.uint64)
    signature = np.zeros((places, 2), dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(signature[:, 0], owner, words[0, ids])
        np.add.at(signature[:, 1], owner, words[1, ids])
    view = signature.view([("a", np.uint64), ("b", np.uint64)]).reshape(-1)
    _, representative, group = np.unique(view, return_index=True, return_inverse=True)
    group = group.reshape(-1).astype(np.int64)
    start = np.searchsorted(owner, np.arange(places + 1))
    members, entries = expand_pairs(representative.astype(np.int64), start)
    summed = blocks.new_zeros(representative.size, *blocks.shape[1:])
    summed.index_add_(0, on_device(members, blocks), blocks[on_device(ids[entries], blocks)])
    return summed, group
