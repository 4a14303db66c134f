"""The coordinates at a cut that an input moves: where they stand in the order of elimination."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, on_device
from resnet_diffeo_probe.jacobian.elimination.layout import Layout

__all__ = ["ActiveCoordinates"]


class ActiveCoordinates:
    """Coordinates with a non-zero local derivative, in the order of elimination: pixel by pixel, then by channel.

    Args:
        own: (P, C) the local derivatives D at the cut.
        layout: the order of the pixels.

    Attributes:
        before: (P + 1,) how many active coordinates come before each pixel in the order of elimination.
        row_starts: (rows + 1,) the same for each image row.
        row_sizes: (rows,) active coordinates of each image row.
    """

    def __init__(self, own: Tensor, layout: Layout) -> None:
        self.layout, self._own, self._active = layout, own, own != 0
        of_pixel: IntArray = self._active.sum(dim=1).cpu().numpy()
        self.before = np.concatenate([[0], np.cumsum(of_pixel[layout.pixels])])
        self.row_starts = self.before[layout.starts]
        self.row_sizes: IntArray = np.diff(self.row_starts)

    @property
    def order(self) -> int:
        """How many there are."""
        return int(self.before[-1])

    @cached_property
    def _pixel_order(self) -> Tensor:
        return on_device(self.layout.pixels, self._own)

    @cached_property
    def places(self) -> tuple[Tensor, Tensor]:
        """Pixel, as its place in the order of elimination, and channel of each, both (order,)."""
        place = self._active[self._pixel_order].nonzero()
        return place[:, 0].contiguous(), place[:, 1].contiguous()

    @cached_property
    def index(self) -> Tensor:
        """(order,) positions in a (P·C,) vector, pixel first."""
        place, channel = self.places
        return self._pixel_order[place] * self._own.shape[1] + channel

    @cached_property
    def derivatives(self) -> Tensor:
        """(order,) D_A."""
        return self._own.reshape(-1)[self.index]
