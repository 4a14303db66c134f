"""One image row of R L where diagonals of the input stand inside the product: multiplied anew for every input.

What meets what does not depend on the input: it is worked out once per unit and image row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import (
    IntArray,
    SharedBlockMatrix,
    expand_pairs,
    on_device,
)
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct

__all__ = ["RowProduct"]


@dataclass(frozen=True)
class _Multiplication:
    """Entries times one static matrix.

    Attributes:
        stage: the activation whose derivative comes first.
        pixels: (E,) where each entry meets that derivative.
        taps: for each block of the matrix that is met: the block, the entries that meet it, their targets.
        targets: number of entries of the result.
    """

    stage: int
    pixels: Tensor
    factor: SharedBlockMatrix
    taps: tuple[tuple[int, Tensor, Tensor], ...]
    targets: int


class RowProduct:
    """The rows of R L at some pixels of the cut.

    Attributes:
        rows: (E,) for each entry of the result the index into `pixels`.
        cols: (E,) and the pixel of its column; entries are sorted by row, then column.

    Args:
        product: R L.
        pixels: of the cut.
    """

    def __init__(self, product: CyclicProduct, pixels: IntArray) -> None:
        self._first = first = product.factors[0]
        start = np.searchsorted(first.rows, np.arange(first.pixels_out + 1))
        rows, entries = expand_pairs(pixels, start)
        self._ids = self._index(first.ids[entries])
        cols = first.cols[entries]
        steps = []
        for factor, stage in zip(product.factors[1:], product.between, strict=True):
            begin = np.searchsorted(factor.rows, np.arange(factor.pixels_out + 1))
            left, right = expand_pairs(cols, begin)
            place, target = np.unique(rows[left] * factor.pixels_in + factor.cols[right], return_inverse=True)
            taps = self._taps(factor.ids[right], left, target.reshape(-1))
            steps.append(_Multiplication(stage, self._index(cols), factor, taps, int(place.size)))
            rows, cols = place // factor.pixels_in, place % factor.pixels_in
        self._steps: Sequence[_Multiplication] = steps
        self.rows, self.cols = rows, cols

    def _taps(
        self, ids: IntArray, left: IntArray, target: IntArray
    ) -> tuple[tuple[int, Tensor, Tensor], ...]:
        order = np.argsort(ids, kind="stable")
        taps, begin = np.unique(ids[order], return_index=True)
        parts = np.split(order, begin[1:])
        return tuple(
            (int(tap), self._index(left[part]), self._index(target[part]))
            for tap, part in zip(taps, parts, strict=True)
        )

    def _index(self, values: IntArray) -> Tensor:
        return on_device(values, self._first.blocks)

    def blocks(self, derivatives: Mapping[int, Tensor]) -> Tensor:
        """Return the entries, (E, C, C).

        Args:
            derivatives: for each stage inside the product (P, C) diagonals or (P, C, C) blocks.
        """
        blocks = self._first.blocks[self._ids]
        for step in self._steps:
            local = derivatives[step.stage][step.pixels]
            blocks = torch.matmul(blocks, local) if local.dim() == 3 else blocks * local[:, None, :]
            out = blocks.new_zeros(step.targets, blocks.shape[1], step.factor.channels_in)
            for (
                tap,
                entries,
                targets,
            ) in step.taps:  # one GEMM for all entries that meet the same static block
                out.index_add_(0, targets, torch.matmul(blocks[entries], step.factor.blocks[tap]))
            blocks = out
        return blocks
