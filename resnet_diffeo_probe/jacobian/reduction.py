"""The reduced matrix: a cut through the branch where few coordinates are active (MATH.md, section 2).

With J_F = L D R, cut at an activation whose derivatives at the input are the diagonal D,
det(I + L D R) = det(I_A + D_A (R L)[A, A]), where A holds the coordinates with a non-zero derivative (Sylvester's
identity; the rows and columns outside A are those of the identity). For a ReLU D_A = I and A is the active set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.block_sparse import IntArray, on_device
from resnet_diffeo_probe.jacobian.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.layout import CyclicProduct, Layout
from resnet_diffeo_probe.jacobian.row_tiles import TileTable

__all__ = ["ReducedMatrix"]

# Below this an index has 32 bits: half of the traffic of a gather.
_SHORT_INDEX = 2**30


class ReducedMatrix:
    """I_A + D_A (R L)[A, A] at one input, as a block system for elimination.

    Args:
        product: R L at the cut.
        layout: the order of the pixels.
        diagonals: for each stage (1-based keys) its local derivative at the input, (P, C) or (P, C, C) blocks; key 0,
            the unit's own input, is all ones and may be absent.
        table: gives the tiles of R L, shared by all inputs of a unit; asked for once the blocks are.
    """

    def __init__(
        self,
        product: CyclicProduct,
        layout: Layout,
        diagonals: dict[int, Tensor],
        table: Callable[[], TileTable],
    ) -> None:
        self.product, self.layout = product, layout
        self._diagonals, self._give_table = diagonals, table
        blocks = product.factors[0].blocks
        self.dtype, self.device = blocks.dtype, blocks.device
        own = diagonals.get(product.cut)
        if own is None:
            own = torch.ones(product.pixels, product.channels, dtype=self.dtype, device=self.device)
        self._own, self._active = own, own != 0
        active_of_pixel: IntArray = self._active.sum(dim=1).cpu().numpy()
        # how many active coordinates come before each pixel in the order of elimination
        self._before = np.concatenate([[0], np.cumsum(active_of_pixel[layout.pixels])])
        self._row_starts = self._before[layout.starts]
        self.row_sizes: IntArray = np.diff(self._row_starts)
        self._grouping, self.cost = layout.cheapest(self.row_sizes)
        self._stores: dict[int, Tensor] = {}

    @property
    def order(self) -> int:
        """Number of active coordinates."""
        return int(self._before[-1])

    @property
    def per_group(self) -> int:
        """How many image rows are eliminated together."""
        return self._grouping.per_group

    @cached_property
    def _table(self) -> TileTable:
        return self._give_table()

    @cached_property
    def _active_places(self) -> tuple[Tensor, Tensor]:
        """Pixel, as its place in the order of elimination, and channel of each active coordinate, both (order,)."""
        place = self._active[self._table.pixel_order].nonzero()
        return place[:, 0], place[:, 1]

    @cached_property
    def _active_index(self) -> Tensor:
        place, channel = self._active_places
        return self._table.pixel_order[place] * self.product.channels + channel

    def active_index(self) -> Tensor:
        """Return (order,) positions of the active coordinates in a (P·C,) vector, pixel first, in elimination order."""
        return self._active_index

    def own_derivatives(self) -> Tensor:
        """Return (order,) D_A, in elimination order."""
        return self._own.reshape(-1)[self.active_index()]

    @cached_property
    def _scale(self) -> Tensor | None:
        """D_A, (order, 1); None where it is all ones, as for a ReLU."""
        scale = self.own_derivatives()
        return None if bool((scale == 1).all()) else scale[:, None]

    @cached_property
    def _offsets(self) -> tuple[Tensor, Tensor]:
        """What each active coordinate adds to an index into a store, as a row and as a column; (order,) each."""
        channels, width = self.product.channels, self._table.width
        place, channel = self._active_places
        in_row = on_device(self.layout.place_in_row[self.layout.pixels], self._own)[place]
        row = in_row * (width * channels**2) + channel * channels
        column = in_row * channels**2 + channel
        largest = int(np.diff(self.layout.starts).max(initial=0)) * width * channels**2
        fits = max(largest, self._table.largest_store) < _SHORT_INDEX
        return (row.int(), column.int()) if fits else (row, column)

    def store_entries(self) -> int:
        """Return how many numbers the tiles take that are held at a time."""
        return self._table.largest_store * (1 if self._table.is_static else 1 + self.per_group)

    def system(self) -> BlockSystem:
        """Return the matrix for elimination, image rows grouped as is cheapest."""
        sizes = tuple(int(s) for s in self._grouping.sizes(self.row_sizes))
        return BlockSystem(sizes, self._grouping.coupled, self._add_group, self.dtype, self.device)

    def _add_group(self, out: Tensor, i: int, j: int) -> None:
        rows_i, rows_j = (
            range(g * self.per_group, min((g + 1) * self.per_group, self.layout.rows)) for g in (i, j)
        )
        start_i, start_j = (int(self._row_starts[rows.start]) for rows in (rows_i, rows_j))
        for a in rows_i:
            for b in rows_j:
                if self.layout.coupled[a, b] and self.row_sizes[a] and self.row_sizes[b]:
                    self._add_rows(out, a, b, start_i, start_j)
        if i == j:
            out.diagonal().add_(1)
        # what lies behind the front is not asked for again
        for row in [r for r in self._stores if r < min(rows_i.start, rows_j.start)]:
            del self._stores[row]

    def _add_rows(self, out: Tensor, a: int, b: int, start_i: int, start_j: int) -> None:
        if a not in self._stores:
            self._stores[a] = self._table.store(a, self._diagonals)
        store, area, width = self._stores[a], self.product.channels**2, self._table.width
        row, column = self._offsets
        before_a, before_b = (self._before[self.layout.starts[r] :] for r in (a, b))
        for tile in self._table.tiles(a, b):
            top, bottom = int(before_a[tile.rows[0]]), int(before_a[tile.rows[1]])
            left, right = int(before_b[tile.cols[0]]), int(before_b[tile.cols[1]])
            if top == bottom or left == right:
                continue
            shift = (tile.base - tile.rows[0] * width - tile.cols[0]) * area
            place = (row[top:bottom] + shift)[:, None] + column[left:right]
            picked = store.index_select(0, place.reshape(-1)).view_as(place)
            view = out[top - start_i : bottom - start_i, left - start_j : right - start_j]
            view.add_(picked if self._scale is None else picked * self._scale[top:bottom])
