"""Blocks of the reduced matrices of several inputs, gathered from the tiles of R L for all inputs at once.

Where each input gathers by itself (`row_tiles`), a tile takes a few launches for every input; here a block takes a
dozen whatever the number of inputs and tiles. Which tile a pair of pixels lies in is looked up in a table of pixels;
pairs without one, and padding, point to a block of zeros behind the tiles.

The two gathers share the tiles and no more: one walks the tiles of a pair of image rows and adds a view for each, the
other has an index for every entry of a padded block and no loop over tiles. What they do alike (let go of stores behind
the front, leave out D where it is all ones) is a line each, over image rows there and groups here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, on_device
from resnet_diffeo_probe.jacobian.elimination.batched_elimination import PaddedBatch, padded_together
from resnet_diffeo_probe.jacobian.elimination.block_system import starts_of
from resnet_diffeo_probe.jacobian.elimination.layout import Grouping
from resnet_diffeo_probe.jacobian.elimination.reduction import ReducedMatrix
from resnet_diffeo_probe.jacobian.elimination.row_tiles import SHORT_INDEX, TileTable

__all__ = ["gathered_numbers", "gathered_together"]

# In the place of a group's number, where the product is static and all groups have the same tiles.
_SHARED = -1


def gathered_together(reduced: Sequence[ReducedMatrix], grouping: Grouping) -> PaddedBatch:
    """Return the reduced matrices of several inputs of a unit, cut at the same place, as a batch.

    Args:
        reduced: of each input.
        grouping: which image rows are eliminated together.
    """
    batch = padded_together([each.system(grouping) for each in reduced])
    table = reduced[0].table
    if not isinstance(table, TileTable):
        return batch
    gather = _TilesTogether(table, reduced, grouping, batch)
    return replace(batch, system=replace(batch.system, add_block=gather.add_block))


def gathered_numbers(reduced: Sequence[ReducedMatrix], grouping: Grouping) -> float:
    """Return how many numbers are held for the blocks of a batch: tiles, and the indices of the largest block."""
    table = reduced[0].table
    if not isinstance(table, TileTable):
        return float(sum(each.held_numbers(grouping) for each in reduced))
    stores = _store_numbers(table, reduced, grouping)
    # a store is joined from its parts; tiles that change with the input are those of all groups in the front
    stores *= 2 if table.is_static else 2 + max((len(coupled) for coupled in grouping.coupled), default=0)
    largest = max(int(grouping.sizes(each.row_sizes).max(initial=0)) for each in reduced)
    # two indices of up to 64 bits and what they pick
    return float(stores) + 3.0 * len(reduced) * largest**2


def _store_numbers(table: TileTable, reduced: Sequence[ReducedMatrix], grouping: Grouping) -> int:
    """Return how many numbers a store holds at most; see `_Store`."""
    zeros = reduced[0].product.channels ** 2
    if table.is_static:
        return table.largest_store + zeros
    return len(reduced) * (grouping.per_group * table.largest_store + zeros)


@dataclass(frozen=True)
class _Store:
    """Tiles of the image rows of a group, for all inputs.

    Attributes:
        numbers: (B · S,), or (S,) where all inputs have the same; a block of zeros comes last in S.
        bases: (rows,) where the tiles of each image row begin, in blocks.
        zeros: where the block of zeros is, in blocks.
        stride: S, or 0 where all inputs have the same.
    """

    numbers: Tensor
    bases: tuple[int, ...]
    zeros: int
    stride: int


class _TilesTogether:
    """Gives the blocks of a padded batch.

    Args:
        table: the tiles.
        reduced: of each input.
        grouping: which image rows are eliminated together.
        batch: the same inputs, padded.
    """

    def __init__(
        self, table: TileTable, reduced: Sequence[ReducedMatrix], grouping: Grouping, batch: PaddedBatch
    ) -> None:
        self._table, self._reduced = table, reduced
        self._layout, self._channels = reduced[0].layout, reduced[0].product.channels
        self._rows = [
            range(start, min(start + grouping.per_group, self._layout.rows))
            for start in range(0, self._layout.rows, grouping.per_group)
        ]
        places = [int(self._layout.starts[rows.start]) for rows in self._rows] + [
            int(self._layout.starts[-1])
        ]
        self._pixels: IntArray = np.diff(places)
        self._starts = starts_of(batch.system.sizes)
        self._stores: dict[int, _Store] = {}
        largest = max(_store_numbers(table, reduced, grouping), int(self._pixels.max(initial=0) + 1) ** 2)
        self._short = largest < SHORT_INDEX
        self._locate(batch, np.asarray(places))

    def _locate(self, batch: PaddedBatch, places: IntArray) -> None:
        """Set, for each padded coordinate, (B, padded order), its pixel and channel, and D.

        Args:
            batch: says where the coordinates of each input lie.
            places: (groups + 1,) where the pixels of each group begin.
        """
        like, shape = self._reduced[0].own_derivatives(), (len(self._reduced), batch.system.order)
        real = on_device(batch.places, like)
        # a pixel is its place in its group; padding has no pixel, which is one more than there are
        in_group = on_device(np.arange(places[-1]) - np.repeat(places[:-1], self._pixels), like)
        pixel = on_device(np.tile(np.repeat(self._pixels, batch.system.sizes), shape[0]), like)
        pixel[real] = in_group[torch.cat([each.active.places[0] for each in self._reduced])]
        channel = torch.zeros_like(pixel)
        channel[real] = torch.cat([each.active.places[1] for each in self._reduced])
        self._pixel, self._channel, self._row_channel, self._members = (
            each.int() if self._short else each
            for each in (
                pixel.view(shape),
                channel.view(shape),
                (channel * self._channels).view(shape),
                torch.arange(shape[0], device=like.device)[:, None],
            )
        )
        scale = torch.cat([each.own_derivatives() for each in self._reduced])
        self._scale: Tensor | None = None  # None where D_A is all ones, as for a ReLU
        if not bool((scale == 1).all()):
            padded = like.new_zeros(shape[0] * shape[1])
            padded[real] = scale
            self._scale = padded.view(shape)

    def add_block(self, out: Tensor, i: int, j: int) -> None:
        """Add block (i, j) of I_A + D_A (R L)[A, A], padded, to `out`, (B, m, n)."""
        rows, columns = (slice(self._starts[g], self._starts[g + 1]) for g in (i, j))
        if out.numel():
            store = self._store(i)
            place = self._places(store, i, j, rows, columns)
            picked = store.numbers.index_select(0, place.reshape(-1)).view_as(place)
            out.add_(picked if self._scale is None else picked * self._scale[:, rows, None])
        if i == j:
            out.diagonal(dim1=-2, dim2=-1).add_(1)
        # what lies behind the front is not asked for again
        for group in [g for g in self._stores if _SHARED < g < min(i, j)]:
            del self._stores[group]

    def _places(self, store: _Store, i: int, j: int, rows: slice, columns: slice) -> Tensor:
        """Return where in the store the entries of a block are, (B, m, n)."""
        width = int(self._pixels[j]) + 1
        of_pixels = on_device(self._tile_of_pixels(store, i, j), store.numbers)
        of_pixels = of_pixels.int() if self._short else of_pixels
        pair = (self._pixel[:, rows] * width)[:, :, None] + self._pixel[:, None, columns]
        place = of_pixels.index_select(0, pair.reshape(-1)).view_as(pair)
        place += (self._row_channel[:, rows] + self._members * store.stride)[:, :, None]
        place += self._channel[:, None, columns]
        return place

    def _tile_of_pixels(self, store: _Store, i: int, j: int) -> IntArray:
        """Return where in the store the entries between two pixels begin, for all pixels of two groups, flattened."""
        starts, area = self._layout.starts, self._channels**2
        found = np.full((self._pixels[i] + 1, self._pixels[j] + 1), store.zeros, dtype=np.int64)
        for a, base in zip(self._rows[i], store.bases, strict=False):
            top = int(starts[a] - starts[self._rows[i].start])
            for b in self._rows[j]:
                left = int(starts[b] - starts[self._rows[j].start])
                for tile in self._table.tiles(a, b):
                    height, width = tile.rows[1] - tile.rows[0], tile.cols[1] - tile.cols[0]
                    at = found[
                        top + tile.rows[0] : top + tile.rows[1], left + tile.cols[0] : left + tile.cols[1]
                    ]
                    at[:] = (
                        base + tile.base + np.arange(height)[:, None] * self._table.width + np.arange(width)
                    )
        return (found * area).reshape(-1)

    def _store(self, group: int) -> _Store:
        key = _SHARED if self._table.is_static else group
        if key not in self._stores:
            self._stores[key] = self._filled(group)
        return self._stores[key]

    def _filled(self, group: int) -> _Store:
        area, rows = self._channels**2, self._rows[group]
        if self._table.is_static:
            shared = self._table.store(0, self._reduced[0].diagonals)
            numbers = torch.cat([shared, shared.new_zeros(area)])
            return _Store(numbers, (0,) * self._layout.rows, shared.numel() // area, 0)
        of_inputs, sizes = [], []
        for each in self._reduced:
            stores = [self._table.store(a, each.diagonals) for a in rows]
            sizes = [store.numel() // area for store in stores]
            of_inputs += [*stores, stores[0].new_zeros(area)]
        *bases, end = starts_of(sizes)
        return _Store(torch.cat(of_inputs), tuple(bases), end, (end + 1) * area)
