"""In which order the pixels at a cut are eliminated, and how many image rows together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, SharedBlockMatrix
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem, front_members

__all__ = ["CyclicProduct", "Grouping", "Layout", "choose_layout"]

FloatArray = npt.NDArray[np.float64]

# What a block costs besides its flops, in flops: about 0.1 ms of calls at 5e10 flops a second. It only decides how
# many image rows are eliminated together.
_STEP_OVERHEAD_FLOPS = 5e6
_ROWS_TOGETHER = (1, 2, 3, 4, 6, 8)


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
class Grouping:
    """Image rows eliminated together.

    Attributes:
        per_group: how many.
        coupled: for each group the later ones it couples to.
        front: (groups, groups) 1 where a group is in the front of another, itself left out.
    """

    per_group: int
    coupled: tuple[tuple[int, ...], ...]
    front: FloatArray

    def sizes(self, row_sizes: IntArray) -> IntArray:
        """Return the active coordinates of each group from those of each image row."""
        starts = np.arange(0, row_sizes.size, self.per_group)
        return np.add.reduceat(row_sizes, starts) if row_sizes.size else row_sizes

    def cost(self, row_sizes: IntArray) -> float:
        """Return the flops of elimination, overhead included; see `elimination_flops`."""
        m = self.sizes(row_sizes).astype(np.float64)
        f = self.front @ m
        return float((2 * m**3 / 3 + 2 * m * m * f + 2 * m * f * f).sum()) + _STEP_OVERHEAD_FLOPS * m.size


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

    @cached_property
    def pixels(self) -> IntArray:
        """(P,) the pixels in the order of elimination, image row by image row."""
        return np.argsort(self.row_of_pixel, kind="stable")

    @cached_property
    def starts(self) -> IntArray:
        """(rows + 1,) where each image row starts in that order."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.row_of_pixel, minlength=self.rows))])

    @cached_property
    def place_in_row(self) -> IntArray:
        """(P,) the place of each pixel in its image row."""
        place = np.empty(self.row_of_pixel.size, dtype=np.int64)
        place[self.pixels] = np.arange(place.size) - np.repeat(self.starts[:-1], np.diff(self.starts))
        return place

    @cached_property
    def groupings(self) -> tuple[Grouping, ...]:
        """The ways to eliminate image rows together that are worth a thought; the last one takes all at once."""
        together = sorted({g for g in (*_ROWS_TOGETHER, self.rows) if g <= self.rows})
        return tuple(self._grouping(per_group) for per_group in together)

    def _grouping(self, per_group: int) -> Grouping:
        groups = -(-self.rows // per_group)
        coupled = np.zeros((groups, groups), dtype=bool)
        at = np.argwhere(self.coupled) // per_group
        coupled[at[:, 0], at[:, 1]] = True
        neighbours = tuple(tuple(int(j) for j in np.flatnonzero(coupled[i]) if j > i) for i in range(groups))
        front = np.zeros((groups, groups))
        for i, members in enumerate(front_members(BlockSystem((0,) * groups, neighbours, _no_block))):
            front[i, list(members)] = 1
        return Grouping(per_group, neighbours, front)

    def cheapest(self, row_sizes: IntArray) -> tuple[Grouping, float]:
        """Return how to group for these active coordinates of each image row, and the cost."""
        costs = [grouping.cost(row_sizes) for grouping in self.groupings]
        best = int(np.argmin(costs))
        return self.groupings[best], costs[best]

    def system(self, row_sizes: IntArray) -> BlockSystem:
        """Return the shape of the cheapest system; its blocks are empty."""
        grouping, _ = self.cheapest(row_sizes)
        sizes = tuple(int(s) for s in grouping.sizes(row_sizes))
        return BlockSystem(sizes, grouping.coupled, _no_block)


def _no_block(out: object, i: int, j: int) -> None:
    """A shape alone has no entries."""


def choose_layout(product: CyclicProduct) -> Layout:
    """Return the layout whose elimination costs least when all coordinates are active."""
    layouts = [layout_along(product, axis) for axis in range(len(product.spatial))]
    if not layouts:
        return layout_along(product, None)
    costs = [layout.cheapest(np.diff(layout.starts) * product.channels)[1] for layout in layouts]
    return layouts[int(np.argmin(costs))]


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
