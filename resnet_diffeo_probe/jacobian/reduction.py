"""The reduced matrix: a cut through the branch where few coordinates are active (MATH.md, section 2).

With J_F = L D R, cut at an activation whose derivatives at the input are the diagonal D,
det(I + L D R) = det(I_A + D_A (R L)[A, A]), where A holds the coordinates with a non-zero derivative (Sylvester's
identity; the rows and columns outside A are those of the identity). For a ReLU D_A = I and A is the active set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.block_sparse import IntArray, SharedBlockMatrix, expand_pairs
from resnet_diffeo_probe.jacobian.block_system import BlockSystem, elimination_flops

__all__ = ["CyclicProduct", "Layout", "ReducedMatrix", "RowBlockTable", "cheapest_system", "choose_layout"]

# What a block costs besides its flops, in flops: about 0.1 ms of calls at 5e10 flops a second. It only decides how
# many image rows are eliminated together.
_STEP_OVERHEAD_FLOPS = 5e6
# Tables of dense row blocks above this are not kept: they are scattered again for every input.
_TABLE_BYTES = 1.5e9


@dataclass(frozen=True)
class CyclicProduct:
    """R L at a cut as factors, leftmost applied last: static matrices with diagonals of the input between them.

    Attributes:
        cut: index of the cut: 0 is the unit's input, j ≥ 1 the j-th activation.
        factors: the static matrices M_1 … M_f.
        between: for each neighbouring pair of factors the activation whose diagonal stands there, 1-based.
        spatial: the spatial shape at the cut.
        channels: the channels at the cut.
        inner_spatial: spatial shapes between the factors.
    """

    cut: int
    factors: tuple[SharedBlockMatrix, ...]
    between: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int
    inner_spatial: tuple[tuple[int, ...], ...]

    @property
    def pixels(self) -> int:
        """Number of pixels at the cut."""
        return self.factors[0].pixels_out


@dataclass(frozen=True)
class Layout:
    """In which order the pixels at the cut are eliminated.

    Attributes:
        axis: the spatial axis along which elimination travels; None if there is none.
        row_of_pixel: (P,) the image row, along `axis`, of each pixel.
        rows: number of image rows.
        coupled: (rows, rows) boolean, which rows couple.
    """

    axis: int | None
    row_of_pixel: IntArray
    rows: int
    coupled: npt.NDArray[np.bool_]


def layout_along(product: CyclicProduct, axis: int | None) -> Layout:
    """Return the layout with image rows along one spatial axis of the cut."""
    row, rows = _rows_along(product.spatial, axis)
    coupled = np.eye(rows, dtype=bool)
    spatials = [product.spatial, *product.inner_spatial, product.spatial]
    for factor, out, into in zip(product.factors, spatials[:-1], spatials[1:], strict=True):
        row_out, rows_out = _rows_along(out, axis)
        row_in, rows_in = _rows_along(into, axis)
        pattern = np.zeros((rows_out, rows_in), dtype=bool)
        pattern[row_out[factor.rows], row_in[factor.cols]] = True
        coupled = (coupled.astype(np.float32) @ pattern.astype(np.float32)) > 0
    coupled = coupled | coupled.T | np.eye(rows, dtype=bool)
    return Layout(axis, row, rows, coupled)


def _rows_along(spatial: Sequence[int], axis: int | None) -> tuple[IntArray, int]:
    if axis is None or axis >= len(spatial):
        pixels = int(np.prod(spatial, dtype=np.int64))
        return np.zeros(pixels, dtype=np.int64), 1
    index = np.indices(tuple(spatial))[axis].reshape(-1)
    return index.astype(np.int64), int(spatial[axis])


def choose_layout(product: CyclicProduct) -> Layout:
    """Return the layout whose elimination costs least when all coordinates are active."""
    layouts = [layout_along(product, axis) for axis in range(len(product.spatial))]
    if not layouts:
        return layout_along(product, None)
    full = [np.bincount(lay.row_of_pixel, minlength=lay.rows) * product.channels for lay in layouts]
    costs = [_cheapest_grouping(lay, sizes)[1] for lay, sizes in zip(layouts, full, strict=True)]
    return layouts[int(np.argmin(costs))]


def _group(layout: Layout, sizes: npt.NDArray[np.int64], per_group: int) -> BlockSystem:
    """Return a system without blocks, `per_group` image rows together: its shape alone, for costs."""
    groups = -(-layout.rows // per_group)
    of_row = np.arange(layout.rows) // per_group
    coupled = np.zeros((groups, groups), dtype=bool)
    at = np.argwhere(layout.coupled)
    coupled[of_row[at[:, 0]], of_row[at[:, 1]]] = True
    neighbours = tuple(tuple(int(j) for j in np.flatnonzero(coupled[i]) if j > i) for i in range(groups))
    total = np.bincount(of_row, weights=sizes, minlength=groups)
    return BlockSystem(tuple(int(s) for s in total), neighbours, lambda out, i, j: None)


def _cheapest_grouping(layout: Layout, sizes: npt.NDArray[np.int64]) -> tuple[int, float]:
    """Return how many image rows to eliminate together, and the cost in flops, overhead included."""
    candidates = sorted({g for g in (1, 2, 3, 4, 6, 8, layout.rows) if g <= layout.rows})
    costs = []
    for per_group in candidates:
        system = _group(layout, sizes, per_group)
        costs.append(elimination_flops(system) + _STEP_OVERHEAD_FLOPS * len(system.sizes))
    best = int(np.argmin(costs))
    return candidates[best], costs[best]


def cheapest_system(layout: Layout, sizes: npt.NDArray[np.int64]) -> BlockSystem:
    """Return the shape of the system for these active coordinates per image row; its blocks are empty."""
    return _group(layout, sizes, _cheapest_grouping(layout, sizes)[0])


class ReducedMatrix:
    """I_A + D_A (R L)[A, A] at one input, as a block system for elimination.

    Args:
        product: R L at the cut.
        layout: the order of the pixels.
        diagonals: for each stage (1-based keys) its local derivative at the input, (P, C) or (P, C, C) blocks; key 0,
            the unit's own input, is all ones and may be absent.
        table: dense row blocks of a static product, shared by all inputs of a unit.
    """

    def __init__(
        self,
        product: CyclicProduct,
        layout: Layout,
        diagonals: dict[int, Tensor],
        table: RowBlockTable | None,
    ) -> None:
        self.product, self.layout = product, layout
        self._diagonals, self._table = diagonals, table
        blocks = product.factors[0].blocks
        self.dtype, self.device = blocks.dtype, blocks.device
        own = diagonals.get(product.cut)
        if own is None:
            own = torch.ones(product.pixels, product.channels, dtype=self.dtype, device=self.device)
        self._own = own
        active = own != 0
        # pixels in elimination order: image row by image row
        order = np.argsort(layout.row_of_pixel, kind="stable")
        self._pixels_of_row = np.split(
            order, np.cumsum(np.bincount(layout.row_of_pixel, minlength=layout.rows))[:-1]
        )
        self._active_of_row = [
            active[torch.from_numpy(pixels)].reshape(-1).nonzero().squeeze(1)
            for pixels in self._pixels_of_row
        ]
        self._scale_of_row = [self._row_scale(a) for a in range(layout.rows)]
        self.row_sizes = np.array([int(a.numel()) for a in self._active_of_row], dtype=np.int64)
        self.per_group, self.cost = _cheapest_grouping(layout, self.row_sizes)
        self._row_products: dict[int, dict[int, Tensor]] = {}
        self._active_index: Tensor | None = None

    def _row_scale(self, a: int) -> Tensor | None:
        """Return (|A_a|, 1) D_A in one image row, None where it is all ones, as for a ReLU."""
        scale = self._own[torch.from_numpy(self._pixels_of_row[a])].reshape(-1)[self._active_of_row[a]]
        return None if bool((scale == 1).all()) else scale[:, None]

    @property
    def order(self) -> int:
        """Number of active coordinates."""
        return int(self.row_sizes.sum())

    def active_index(self) -> Tensor:
        """Return (order,) positions of the active coordinates in a (P·C,) vector, pixel first, in elimination order."""
        if self._active_index is not None:
            return self._active_index
        channels = self.product.channels
        parts = []
        for pixels, local in zip(self._pixels_of_row, self._active_of_row, strict=True):
            base = torch.from_numpy(pixels).to(local.device)
            parts.append(base[local // channels] * channels + local % channels)
        self._active_index = torch.cat(parts)
        return self._active_index

    def own_derivatives(self) -> Tensor:
        """Return (order,) D_A, in elimination order."""
        return self._own.reshape(-1)[self.active_index()]

    def system(self) -> BlockSystem:
        """Return the matrix for elimination, image rows grouped as is cheapest."""
        shape = _group(self.layout, self.row_sizes, self.per_group)
        return BlockSystem(shape.sizes, shape.coupled, self._add_group, self.dtype, self.device)

    def _add_group(self, out: Tensor, i: int, j: int) -> None:
        rows_i, rows_j = (
            range(g * self.per_group, min((g + 1) * self.per_group, self.layout.rows)) for g in (i, j)
        )
        at_i = 0
        for a in rows_i:
            at_j = 0
            for b in rows_j:
                view = out[at_i : at_i + int(self.row_sizes[a]), at_j : at_j + int(self.row_sizes[b])]
                if self.layout.coupled[a, b] and view.numel():
                    self._add_rows(view, a, b)
                at_j += int(self.row_sizes[b])
            at_i += int(self.row_sizes[a])
        # what lies behind the front is not asked for again
        for row in [r for r in self._row_products if r < min(rows_i.start, rows_j.start)]:
            del self._row_products[row]

    def _add_rows(self, out: Tensor, a: int, b: int) -> None:
        block = self._table.block(a, b) if self._table is not None else self._product_block(a, b)
        if block is not None:
            # one flat gather: three times as fast on a CPU as selecting rows, then columns
            place = self._active_of_row[a][:, None] * block.shape[1] + self._active_of_row[b]
            picked = block.reshape(-1).index_select(0, place.reshape(-1)).view_as(place)
            scale = self._scale_of_row[a]
            out.add_(picked if scale is None else picked * scale)
        if a == b:
            out.diagonal().add_(1)

    def _product_block(self, a: int, b: int) -> Tensor | None:
        """Return the dense block (image row a, image row b) of R L where diagonals stand inside the product."""
        if a not in self._row_products:
            self._row_products[a] = self._multiply_row(a)
        return self._row_products[a].get(b)

    def _multiply_row(self, a: int) -> dict[int, Tensor]:
        pixels = self._pixels_of_row[a]
        first = self.product.factors[0]
        start = np.searchsorted(first.rows, np.arange(first.pixels_out + 1))
        rows, entries = expand_pairs(pixels, start)
        cols = first.cols[entries]
        blocks = first.blocks[torch.from_numpy(first.ids[entries])]
        for factor, index in zip(self.product.factors[1:], self.product.between, strict=True):
            local = self._diagonals[index][torch.from_numpy(cols)]
            blocks = torch.matmul(blocks, local) if local.dim() == 3 else blocks * local[:, None, :]
            rows, cols, blocks = _times(rows, cols, blocks, factor)
        width = self.product.channels
        place = np.empty(self.product.pixels, dtype=np.int64)
        for own in self._pixels_of_row:
            place[own] = np.arange(own.size)
        target_row = self.layout.row_of_pixel[cols]
        found = {}
        for b in np.unique(target_row):
            chosen = np.flatnonzero(target_row == b)
            dense = blocks.new_zeros(pixels.size, width, self._pixels_of_row[b].size, width)
            dense[torch.from_numpy(rows[chosen]), :, torch.from_numpy(place[cols[chosen]]), :] = blocks[
                torch.from_numpy(chosen)
            ]
            found[int(b)] = dense.reshape(pixels.size * width, -1)
        return found


def _times(
    rows: IntArray, cols: IntArray, blocks: Tensor, factor: SharedBlockMatrix
) -> tuple[IntArray, IntArray, Tensor]:
    """Multiply a few block rows, each entry with its own block, by a static matrix; equal places are summed."""
    start = np.searchsorted(factor.rows, np.arange(factor.pixels_out + 1))
    left, right = expand_pairs(cols, start)
    place, target = np.unique(rows[left] * factor.pixels_in + factor.cols[right], return_inverse=True)
    out = blocks.new_zeros(place.size, blocks.shape[1], factor.channels_in)
    ids, target = factor.ids[right], target.reshape(-1)
    for tap in np.unique(ids):  # one GEMM for all entries that meet the same static block
        chosen = np.flatnonzero(ids == tap)
        out.index_add_(
            0,
            torch.from_numpy(target[chosen]),
            torch.matmul(blocks[torch.from_numpy(left[chosen])], factor.blocks[int(tap)]),
        )
    return place // factor.pixels_in, place % factor.pixels_in, out


class RowBlockTable:
    """Dense blocks (image row, image row) of a static product; equal ones, inside an image nearly all, are kept once.

    Args:
        matrix: the static product.
        layout: the image rows.
    """

    def __init__(self, matrix: SharedBlockMatrix, layout: Layout) -> None:
        self._matrix = matrix
        order = np.argsort(layout.row_of_pixel, kind="stable")
        count = np.bincount(layout.row_of_pixel, minlength=layout.rows)
        local = np.empty(order.size, dtype=np.int64)
        local[order] = np.arange(order.size) - np.repeat(np.cumsum(count) - count, count)
        self._width = count
        row_out, row_in = layout.row_of_pixel[matrix.rows], layout.row_of_pixel[matrix.cols]
        pair = row_out * layout.rows + row_in
        by_pair = np.argsort(pair, kind="stable")
        distinct, begin = np.unique(pair[by_pair], return_index=True)
        self._members: dict[bytes, tuple[IntArray, IntArray, IntArray, int, int]] = {}
        self._key: dict[tuple[int, int], bytes] = {}
        for code, entries in zip(distinct, np.split(by_pair, begin[1:]), strict=True):
            a, b = divmod(int(code), layout.rows)
            at = (local[matrix.rows[entries]], local[matrix.cols[entries]], matrix.ids[entries])
            key = b"".join((np.array([count[a], count[b]]).tobytes(), *(part.tobytes() for part in at)))
            self._members.setdefault(key, (*at, int(count[a]), int(count[b])))
            self._key[a, b] = key
        side = int(count.max(initial=0)) * matrix.channels_out
        self._keep = len(self._members) * side * side * matrix.blocks.element_size() <= _TABLE_BYTES
        self._dense: dict[bytes, Tensor] = {}

    def block(self, a: int, b: int) -> Tensor | None:
        """Return the dense block, None where the product has no entry."""
        key = self._key.get((a, b))
        if key is None:
            return None
        dense = self._dense.get(key)
        if dense is None:
            rows, cols, ids, height, width = self._members[key]
            blocks = self._matrix.blocks
            full = blocks.new_zeros(height, blocks.shape[1], width, blocks.shape[2])
            full[torch.from_numpy(rows), :, torch.from_numpy(cols), :] = blocks[torch.from_numpy(ids)]
            dense = full.reshape(height * blocks.shape[1], width * blocks.shape[2])
            if self._keep:
                self._dense[key] = dense
        return dense
