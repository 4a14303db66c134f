"""The entries of R L, from which a compiled loop takes the active rows and columns one by one.

It touches nothing but what is not zero, where tiles (`row_tiles.py`) are gathered with the zeros in them, and needs
nothing prepared beside the product itself. For the CPU, and where numba is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, expand_pairs
from resnet_diffeo_probe.jacobian.elimination.active_coordinates import ActiveCoordinates
from resnet_diffeo_probe.jacobian.elimination.compiled_loop import Loop
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct, Layout
from resnet_diffeo_probe.jacobian.elimination.row_products import RowProduct

__all__ = ["EntryTable"]


@dataclass(frozen=True)
class _Entries:
    """Blocks of some rows of pixels.

    Attributes:
        first: the first pixel, as its place in the order of elimination.
        start: (pixels + 1,) where the entries of each pixel begin.
        columns: (E,) the pixel of each entry's column, as its place in the order of elimination.
        ids: (E,) which block it is.
        blocks: (U, C, C), as numpy has them.
    """

    first: int
    start: IntArray
    columns: IntArray
    ids: IntArray
    blocks: Any


class EntryTable:
    """All entries of a product R L on the CPU.

    Args:
        product: R L at a cut.
        layout: the order of its pixels.
        loop: compiled.

    Attributes:
        loop: likewise.
        row_starts: where each image row starts in the order of elimination, and where the last one ends.
        coupled: for each image row which others it couples to.
    """

    def __init__(self, product: CyclicProduct, layout: Layout, loop: Loop) -> None:
        self.loop, self._channels = loop, product.channels
        self.row_starts: list[int] = layout.starts.tolist()
        self.coupled: list[list[bool]] = layout.coupled.tolist()
        place = np.empty(layout.pixels.size, dtype=np.int64)
        place[layout.pixels] = np.arange(place.size)
        self._static: _Entries | None = None
        self._moving: list[tuple[RowProduct, _Entries]] = []
        if len(product.factors) == 1:
            matrix = product.factors[0]
            start = np.searchsorted(matrix.rows, np.arange(matrix.pixels_out + 1))
            row, entries = expand_pairs(layout.pixels, start)
            order, start, columns = _sorted(row, place[matrix.cols[entries]], layout.pixels.size)
            self._static = _Entries(
                0, start, columns, matrix.ids[entries][order], matrix.blocks.contiguous().numpy()
            )
            return
        for a in range(layout.rows):
            pixels = layout.pixels[layout.starts[a] : layout.starts[a + 1]]
            row_product = RowProduct(product, pixels)
            order, start, columns = _sorted(row_product.rows, place[row_product.cols], pixels.size)
            none = product.factors[0].blocks[:0].numpy()
            self._moving.append((row_product, _Entries(int(layout.starts[a]), start, columns, order, none)))

    def gather(self, active: ActiveCoordinates, derivatives: Mapping[int, Tensor]) -> _EntryGather:
        """Return what takes the active part at one input; see `reduction.Table`."""
        return _EntryGather(self, active, derivatives)

    def held_numbers(self, image_rows: int) -> int:
        """Return how many numbers are held while so many image rows are eliminated together."""
        largest = max((entries.ids.size for _, entries in self._moving), default=0)
        return largest * self._channels**2 * (1 + image_rows)

    def entries(self, a: int, derivatives: Mapping[int, Tensor]) -> _Entries:
        """Return the entries of an image row at an input."""
        if self._static is not None:
            return self._static
        row_product, shape = self._moving[a]
        blocks = row_product.blocks(derivatives).contiguous().numpy()
        return replace(shape, blocks=blocks)


class _EntryGather:
    """The active part of the entries at one input.

    Args:
        table: the entries.
        active: the coordinates.
        derivatives: of the stages inside the product.
    """

    def __init__(
        self, table: EntryTable, active: ActiveCoordinates, derivatives: Mapping[int, Tensor]
    ) -> None:
        self._table, self._derivatives = table, derivatives
        place, channel = (index.numpy() for index in active.places)
        self._active = place, channel, active.before, active.derivatives.numpy()
        # plain integers: a block takes microseconds, as does a number of numpy's
        self._starts: list[int] = active.row_starts.tolist()
        self._entries: dict[int, _Entries] = {}

    def add(self, out: Tensor, rows: range, columns: range) -> None:
        """Add what lies between the active coordinates of some image rows; see `reduction.Gather`."""
        starts, table = self._starts, self._table
        origin = starts[rows.start], starts[columns.start]
        pixels = table.row_starts[columns.start], table.row_starts[columns.stop]
        into = out.numpy()
        for a in rows:
            if starts[a] == starts[a + 1] or not any(table.coupled[a][columns.start : columns.stop]):
                continue
            if a not in self._entries:
                self._entries[a] = table.entries(a, self._derivatives)
            e = self._entries[a]
            own = starts[a], starts[a + 1]
            table.loop(
                into, origin, own, pixels, self._active, (e.first, e.start, e.columns, e.ids, e.blocks)
            )
        # what lies behind the front is not asked for again
        first = min(rows.start, columns.start)
        for row in [r for r in self._entries if r < first]:
            del self._entries[row]


def _sorted(rows: IntArray, columns: IntArray, count: int) -> tuple[IntArray, IntArray, IntArray]:
    """Sort entries by row and column.

    Args:
        rows: (E,) below `count`.
        columns: (E,).
        count: of rows.

    Returns:
        (E,) the order, (count + 1,) where each row begins in it, (E,) the columns in it.
    """
    order = np.lexsort((columns, rows))
    return order, np.searchsorted(rows[order], np.arange(count + 1)), columns[order]
