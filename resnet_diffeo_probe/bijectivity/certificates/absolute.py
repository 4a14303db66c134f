"""Block-sparse matrices with absolute values: how large errors can get on the way through them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix

__all__ = ["absolute_norm", "absolute_product", "longest_row"]


def absolute_product(matrix: SharedBlockMatrix, weights: Tensor, *, transpose: bool = False) -> Tensor:
    """Return |S| w, (P_in, C_in) -> (P_out, C_out), or |S|ᵀ w the other way."""
    ids, cols, rows = (torch.from_numpy(part) for part in (matrix.ids, matrix.cols, matrix.rows))
    sizes = matrix.blocks.abs()
    if transpose:
        rows, cols, sizes = cols, rows, sizes.mT
        total = weights.new_zeros(matrix.pixels_in, matrix.channels_in)
    else:
        total = weights.new_zeros(matrix.pixels_out, matrix.channels_out)
    for tap in torch.unique(ids).tolist():
        chosen = ids == tap
        total.index_add_(0, rows[chosen], weights[cols[chosen]] @ sizes[tap].mT)
    return total


def absolute_norm(matrix: SharedBlockMatrix) -> float:
    """Return a bound of ‖|S|‖₂: √(largest row sum · largest column sum) of absolute values, rounded up."""
    if not matrix.ids.size:
        return 0.0
    blocks = matrix.blocks
    row = absolute_product(matrix, blocks.new_ones(matrix.pixels_in, matrix.channels_in))
    column = absolute_product(matrix, blocks.new_ones(matrix.pixels_out, matrix.channels_out), transpose=True)
    return math.sqrt(float(row.max()) * float(column.max())) * (1 + 1e-4)


def longest_row(matrix: SharedBlockMatrix) -> int:
    """Return how many products a coordinate of S v may be the sum of, at most."""
    if not matrix.rows.size:
        return 0
    return int(np.bincount(matrix.rows).max()) * matrix.channels_in
