"""The non-zero parts of R L as small dense tiles, from which the active rows and columns are gathered.

A tile joins a run of pixels of one image row to a run of pixels of another; what lies between the tiles is zero.
Inside an image nearly all tiles are equal, and equal ones are kept once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from resnet_diffeo_probe.jacobian.block_sparse import IntArray, SharedBlockMatrix, expand_pairs, on_device
from resnet_diffeo_probe.jacobian.layout import CyclicProduct, Layout
from resnet_diffeo_probe.jacobian.row_products import RowProduct

__all__ = ["Tile", "TileTable"]

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
    """All tiles of a product R L.

    A store is a tensor (blocks, C, C), flattened; block (p, q) of a tile lies at base + p·width + q.

    Args:
        product: R L at a cut.
        layout: the order of its pixels.

    Attributes:
        width: columns of every tile as stored, in pixels.
        largest_store: numbers in the largest store.
        pixel_order: (P,) the pixels in the order of elimination, on the device of the blocks.
    """

    def __init__(self, product: CyclicProduct, layout: Layout) -> None:
        self._layout, self._channels = layout, product.channels
        first = product.factors[0]
        self.pixel_order = on_device(layout.pixels, first.blocks)
        self._tiles: dict[tuple[int, int], list[Tile]] = {}
        self._store: Tensor | None = None
        self._moving: list[tuple[RowProduct, Tensor, int]] = []
        own = [layout.pixels[layout.starts[a] : layout.starts[a + 1]] for a in range(layout.rows)]
        if len(product.factors) == 1:
            self._share(first, own)
        else:
            self._move([RowProduct(product, pixels) for pixels in own])
        sizes = [size for *_, size in self._moving] if self._store is None else [int(self._store.shape[0])]
        self.largest_store = max(sizes, default=0) * self._channels**2

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

    def _move(self, products: Sequence[RowProduct]) -> None:
        """Give each entry of a product that changes with the input its place in a store of its own image row."""
        cut = [self._cut(product.rows, product.cols, _MOVING_TILE_ROWS) for product in products]
        self.width = max((c.cols[1] - c.cols[0] for pieces, _ in cut for c in pieces), default=1)
        for a, (product, (pieces, q)) in enumerate(zip(products, cut, strict=True)):
            place, total = np.empty(q.size, dtype=np.int64), 0
            for piece in pieces:
                at = piece.entries
                offset = (product.rows[at] - piece.rows[0]) * self.width + q[at] - piece.cols[0]
                place[at] = total + offset
                self._add(a, piece, total)
                total += (piece.rows[1] - piece.rows[0]) * self.width
            self._moving.append((product, on_device(place, self.pixel_order), total))

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
