"""The non-zero parts of R L as small dense tiles, from which the active rows and columns are gathered.

A tile joins a run of pixels of one image row to a run of pixels of another; what lies between the tiles is zero.
Inside an image nearly all tiles are equal, and equal ones are kept once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import (
    IntArray,
    SharedBlockMatrix,
    expand_pairs,
    on_device,
)
from resnet_diffeo_probe.jacobian.elimination.active_coordinates import ActiveCoordinates
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct, Layout
from resnet_diffeo_probe.jacobian.elimination.row_products import RowProduct

__all__ = ["SHORT_INDEX", "Tile", "TileTable"]

#: Below this an index has 32 bits: half of the traffic of a gather.
SHORT_INDEX = 2**30

# A tile of a static product has about this many rows, and up to one and a half times as many columns: large enough
# that a gather is not all overhead, small enough to stay in the cache and to repeat.
_TILE_ROWS = 512
# Tiles of products that change with the input are filled each time: smaller ones hold fewer zeros.
_MOVING_TILE_ROWS = 128


@dataclass(frozen=True)
class Tile:
    """One tile between image rows a and b.

    Attributes:
        rows: pixels from, to in image row a.
        cols: pixels from, to in image row b.
        base: place of its first block in the store, in blocks.
    """

    rows: tuple[int, int]
    cols: tuple[int, int]
    base: int


@dataclass(frozen=True)
class _Piece:
    """A tile before it has a place: the image row b, the runs of pixels, and which entries lie in it."""

    b: int
    rows: tuple[int, int]
    cols: tuple[int, int]
    entries: IntArray


class TileTable:
    """All tiles of a product R L, on any device.

    A store is a tensor (blocks, C, C), flattened; block (p, q) of a tile lies at base + p·width + q.

    Args:
        product: R L at a cut.
        layout: the order of its pixels.

    Attributes:
        width: columns of every tile as stored, in pixels.
        largest_store: numbers in the largest store.
    """

    def __init__(self, product: CyclicProduct, layout: Layout) -> None:
        self._layout, self._channels = layout, product.channels
        first = product.factors[0]
        self._tiles: dict[tuple[int, int], list[Tile]] = {}
        self._store: Tensor | None = None
        self._moving: list[tuple[RowProduct, Tensor, int]] = []
        own = [layout.pixels[layout.starts[a] : layout.starts[a + 1]] for a in range(layout.rows)]
        if len(product.factors) == 1:
            self._share(first, own)
        else:
            self._move(product, own)
        sizes = [size for *_, size in self._moving] if self._store is None else [int(self._store.shape[0])]
        self.largest_store = max(sizes, default=0) * self._channels**2

    def gather(self, active: ActiveCoordinates, derivatives: Mapping[int, Tensor]) -> _TileGather:
        """Return what takes the active part at one input; see `reduction.Table`."""
        return _TileGather(self, self._layout, self._channels, active, derivatives)

    def held_numbers(self, image_rows: int) -> int:
        """Return how many numbers are held while so many image rows are eliminated together."""
        return self.largest_store * (1 if self._store is not None else 1 + image_rows)

    @property
    def is_static(self) -> bool:
        """Whether the product is the same at all inputs, and one store serves them all."""
        return self._store is not None

    def tiles(self, a: int, b: int) -> list[Tile]:
        """Return the tiles between two image rows."""
        return self._tiles.get((a, b), [])

    def store(self, a: int, derivatives: Mapping[int, Tensor]) -> Tensor:
        """Return the store of the tiles of one image row.

        Args:
            a: the image row.
            derivatives: of the stages inside the product, as `RowProduct.blocks` takes them.
        """
        if self._store is not None:
            return self._store.reshape(-1)
        row_product, place, size = self._moving[a]
        entries = row_product.blocks(derivatives)
        store = entries.new_zeros(size, self._channels, self._channels)
        store[place] = entries
        return store.reshape(-1)

    def _share(self, static: SharedBlockMatrix, own: Sequence[IntArray]) -> None:
        """Store each different tile of a static product once."""
        start = np.searchsorted(static.rows, np.arange(static.pixels_out + 1))
        cut = []
        for pixels in own:
            p, entries = expand_pairs(pixels, start)
            pieces, q = self._cut(p, static.cols[entries], _TILE_ROWS)
            cut.append((pieces, p, q, static.ids[entries]))
        self.width = max((c.cols[1] - c.cols[0] for pieces, *_ in cut for c in pieces), default=1)
        bases: dict[tuple[int, bytes], int] = {}
        contents: list[IntArray] = []
        total = 0
        for a, (pieces, p, q, ids) in enumerate(cut):
            for piece in pieces:
                content = np.full((piece.rows[1] - piece.rows[0], self.width), -1, dtype=np.int64)
                at = piece.entries
                content[p[at] - piece.rows[0], q[at] - piece.cols[0]] = ids[at]
                key = (content.shape[0], content.tobytes())
                if key not in bases:
                    bases[key] = total
                    contents.append(content.reshape(-1))
                    total += content.size
                self._add(a, piece, bases[key])
        blocks = static.blocks
        self._store = blocks.new_zeros(total, *blocks.shape[1:])
        if contents:
            ids = np.concatenate(contents)
            filled = np.flatnonzero(ids >= 0)
            self._store[on_device(filled, blocks)] = blocks[on_device(ids[filled], blocks)]

    def _move(self, product: CyclicProduct, own: Sequence[IntArray]) -> None:
        """Give each entry of a product that changes with the input its place in a store of its own image row."""
        rows = [RowProduct(product, pixels) for pixels in own]
        cut = [self._cut(row.rows, row.cols, _MOVING_TILE_ROWS) for row in rows]
        self.width = max((c.cols[1] - c.cols[0] for pieces, _ in cut for c in pieces), default=1)
        for a, (row, (pieces, q)) in enumerate(zip(rows, cut, strict=True)):
            place, total = np.empty(q.size, dtype=np.int64), 0
            for piece in pieces:
                at = piece.entries
                offset = (row.rows[at] - piece.rows[0]) * self.width + q[at] - piece.cols[0]
                place[at] = total + offset
                self._add(a, piece, total)
                total += (piece.rows[1] - piece.rows[0]) * self.width
            self._moving.append((row, on_device(place, product.factors[0].blocks), total))

    def _add(self, a: int, piece: _Piece, base: int) -> None:
        self._tiles.setdefault((a, piece.b), []).append(Tile(piece.rows, piece.cols, base))

    def _cut(self, p: IntArray, cols: IntArray, tile_rows: int) -> tuple[list[_Piece], IntArray]:
        """Cut the entries of one image row into tiles.

        Args:
            p: (E,) the pixel of each entry's row, as its place in the image row.
            cols: (E,) the pixel of its column.
            tile_rows: rows of a tile, in coordinates.

        Returns:
            The tiles, and (E,) the place of each column in its image row.
        """
        height = max(1, tile_rows // self._channels)
        widest = max(1, tile_rows * 3 // 2 // self._channels)
        b, q = self._layout.row_of_pixel[cols], self._layout.place_in_row[cols]
        strip, strip_of = np.unique(b * (1 + p.max(initial=0)) + p // height, return_inverse=True)
        leftmost = np.full(strip.size, np.iinfo(np.int64).max)
        np.minimum.at(leftmost, strip_of, q)
        code = strip_of * (1 + q.max(initial=0)) + (q - leftmost[strip_of]) // widest
        order = np.argsort(code, kind="stable")
        _, begin = np.unique(code[order], return_index=True)
        pieces = []
        for at in np.split(order, begin[1:]) if order.size else []:
            rows, columns = p[at], q[at]
            pieces.append(
                _Piece(
                    int(b[at[0]]),
                    (int(rows.min()), int(rows.max()) + 1),
                    (int(columns.min()), int(columns.max()) + 1),
                    at,
                )
            )
        return pieces, q


class _TileGather:
    """The active part of the tiles at one input.

    Args:
        table: the tiles.
        layout: the order of the pixels.
        channels: at the cut.
        active: the coordinates.
        derivatives: of the stages inside the product.
    """

    def __init__(
        self,
        table: TileTable,
        layout: Layout,
        channels: int,
        active: ActiveCoordinates,
        derivatives: Mapping[int, Tensor],
    ) -> None:
        self._table, self._layout, self._area = table, layout, channels**2
        self._active, self._derivatives = active, derivatives
        self._stores: dict[int, Tensor] = {}
        # what each active coordinate adds to an index into a store, as a row and as a column; (order,) each
        place, channel = active.places
        in_row = on_device(layout.place_in_row[layout.pixels], place)[place]
        row = in_row * (table.width * self._area) + channel * channels
        column = in_row * self._area + channel
        largest = int(np.diff(layout.starts).max(initial=0)) * table.width * self._area
        fits = max(largest, table.largest_store) < SHORT_INDEX
        self._row, self._column = (row.int(), column.int()) if fits else (row, column)
        scale = active.derivatives
        # D_A, (order, 1); None where it is all ones, as for a ReLU
        self._scale = None if bool((scale == 1).all()) else scale[:, None]

    def add(self, out: Tensor, rows: range, columns: range) -> None:
        """Add what lies between the active coordinates of some image rows; see `reduction.Gather`."""
        sizes, starts = self._active.row_sizes, self._active.row_starts
        for a in rows:
            for b in columns:
                if self._layout.coupled[a, b] and sizes[a] and sizes[b]:
                    self._add_row(out, a, b, int(starts[rows.start]), int(starts[columns.start]))
        # what lies behind the front is not asked for again
        for row in [r for r in self._stores if r < min(rows.start, columns.start)]:
            del self._stores[row]

    def _add_row(self, out: Tensor, a: int, b: int, row_origin: int, column_origin: int) -> None:
        if a not in self._stores:
            self._stores[a] = self._table.store(a, self._derivatives)
        store, width = self._stores[a], self._table.width
        before_a, before_b = (self._active.before[self._layout.starts[r] :] for r in (a, b))
        for tile in self._table.tiles(a, b):
            top, bottom = int(before_a[tile.rows[0]]), int(before_a[tile.rows[1]])
            left, right = int(before_b[tile.cols[0]]), int(before_b[tile.cols[1]])
            if top == bottom or left == right:
                continue
            shift = (tile.base - tile.rows[0] * width - tile.cols[0]) * self._area
            place = (self._row[top:bottom] + shift)[:, None] + self._column[left:right]
            picked = store.index_select(0, place.reshape(-1)).view_as(place)
            view = out[top - row_origin : bottom - row_origin, left - column_origin : right - column_origin]
            view.add_(picked if self._scale is None else picked * self._scale[top:bottom])
