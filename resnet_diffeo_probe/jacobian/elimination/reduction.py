"""The reduced matrix: a cut through the branch where few coordinates are active.

With J_F = L D R, cut at an activation whose derivatives at the input are the diagonal D,
det(I + L D R) = det(I_A + D_A (R L)[A, A]), where A holds the coordinates with a non-zero derivative (Sylvester's
identity; the rows and columns outside A are those of the identity). For a ReLU D_A = I and A is the active set.

See docs/mathematics.md, "An exact determinant".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray
from resnet_diffeo_probe.jacobian.elimination.active_coordinates import ActiveCoordinates
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct, Grouping, Layout

__all__ = ["ReducedMatrix"]


class Gather(Protocol):
    """Takes the active part of R L at one input."""

    def add(self, out: Tensor, rows: range, columns: range) -> None:
        """Add D_A (R L)[A, A] between the active coordinates of some image rows to `out`."""


class Table(Protocol):
    """R L, shared by all inputs of a unit."""

    def gather(self, active: ActiveCoordinates, derivatives: Mapping[int, Tensor]) -> Gather:
        """Return what takes the part of an input.

        Args:
            active: the coordinates at the cut.
            derivatives: of the stages inside the product, (P, C) diagonals or (P, C, C) blocks, by 1-based stage.
        """

    def held_numbers(self, image_rows: int) -> int:
        """Return how many numbers it holds while so many image rows are eliminated together."""


class ReducedMatrix:
    """I_A + D_A (R L)[A, A] at one input, as a block system for elimination.

    Args:
        product: R L at the cut.
        layout: the order of the pixels.
        diagonals: for each stage (1-based keys) its local derivative at the input, (P, C) or (P, C, C) blocks; key 0,
            the unit's own input, is all ones and may be absent.
        table: gives the entries of R L; asked for once the blocks are.

    Attributes:
        active: the coordinates in A.
        diagonals: as given.
    """

    def __init__(
        self,
        product: CyclicProduct,
        layout: Layout,
        diagonals: dict[int, Tensor],
        table: Callable[[], Table],
    ) -> None:
        self.product, self.layout = product, layout
        self.diagonals, self._give_table = diagonals, table
        blocks = product.factors[0].blocks
        self.dtype, self.device = blocks.dtype, blocks.device
        own = diagonals.get(product.cut)
        if own is None:
            own = torch.ones(product.pixels, product.channels, dtype=self.dtype, device=self.device)
        self.active = ActiveCoordinates(own, layout)
        self._grouping, self.cost = layout.cheapest(self.row_sizes)

    @property
    def order(self) -> int:
        """Number of active coordinates."""
        return self.active.order

    @property
    def row_sizes(self) -> IntArray:
        """(rows,) active coordinates of each image row."""
        return self.active.row_sizes

    @property
    def per_group(self) -> int:
        """How many image rows are eliminated together."""
        return self._grouping.per_group

    @property
    def table(self) -> Table:
        """R L, shared by all inputs of the unit."""
        return self._give_table()

    @cached_property
    def _gather(self) -> Gather:
        return self.table.gather(self.active, self.diagonals)

    def active_index(self) -> Tensor:
        """Return (order,) positions of the active coordinates in a (P·C,) vector, pixel first, in elimination order."""
        return self.active.index

    def own_derivatives(self) -> Tensor:
        """Return (order,) D_A, in elimination order."""
        return self.active.derivatives

    def held_numbers(self, grouping: Grouping | None = None) -> int:
        """Return how many numbers of R L are held at a time, image rows grouped as by `system`."""
        return self.table.held_numbers((grouping or self._grouping).per_group)

    def system(self, grouping: Grouping | None = None) -> BlockSystem:
        """Return the matrix for elimination.

        Args:
            grouping: which image rows are eliminated together; None: as is cheapest.
        """
        grouping = grouping or self._grouping
        sizes = tuple(int(s) for s in grouping.sizes(self.row_sizes))
        add_block = partial(self._add_group, grouping.per_group)
        return BlockSystem(sizes, grouping.coupled, add_block, self.dtype, self.device)

    def _add_group(self, per_group: int, out: Tensor, i: int, j: int) -> None:
        rows, columns = (range(g * per_group, min((g + 1) * per_group, self.layout.rows)) for g in (i, j))
        self._gather.add(out, rows, columns)
        if i == j:
            out.diagonal().add_(1)
