"""Convolutions of every stride, dilation, group and padding, and paddings by themselves.

Padding is never reasoned about: the indices of the pixels themselves are padded by torch's own `pad` in the
operation's own mode, and the matrix is read off where they went.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape, named

__all__ = ["convolution", "padding"]


def convolution(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    """Return a convolution without its bias.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: the data has another number of axes.
    """
    axes = int(name[4])
    if len(in_shape) != axes + 1:
        raise UnsupportedUnitError(f"{name} on an input of shape {in_shape}: a batch axis is missing")
    given = named(("weight", "bias", "stride", "padding", "dilation", "groups"), args, kwargs)
    weight: Tensor = given["weight"]
    stride = _per_axis(given.get("stride", 1), axes)
    dilation = _per_axis(given.get("dilation", 1), axes)
    groups = int(given.get("groups", 1))
    padding = given.get("padding", 0)
    spatial, kernel = in_shape[1:], tuple(weight.shape[2:])
    if padding == "valid":
        padding = 0
    if padding == "same":  # torch pads the odd one, if any, behind
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in _per_axis(padding, axes)]
    out_spatial = tuple(
        (s + sum(p) - d * (k - 1) - 1) // st + 1
        for s, p, d, k, st in zip(spatial, pads, dilation, kernel, stride, strict=True)
    )
    function = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[axes]

    def matrix() -> SharedBlockMatrix:
        sources = _padded_sources(spatial, [p for pair in reversed(pads) for p in pair], "constant")
        rows, cols, ids = [], [], []
        for tap, offset in enumerate(product(*(range(k) for k in kernel))):
            window = tuple(
                slice(o * d, o * d + st * (n - 1) + 1, st)
                for o, d, st, n in zip(offset, dilation, stride, out_spatial, strict=True)
            )
            source = sources[window].reshape(-1)
            seen = np.flatnonzero(source >= 0)
            rows.append(seen)
            cols.append(source[seen])
            ids.append(np.full(seen.size, tap, dtype=np.int64))
        return SharedBlockMatrix.from_entries(
            _ungrouped(weight, groups).flatten(2).permute(2, 0, 1).contiguous(),
            np.concatenate(rows),
            np.concatenate(cols),
            np.concatenate(ids),
            pixels_out=math.prod(out_spatial),
            pixels_in=math.prod(spatial),
        )

    backward = {1: conv1d_input, 2: conv2d_input, 3: conv3d_input}[axes]

    def transpose(u: Tensor) -> Tensor:
        return backward((u.shape[0], *in_shape), weight, u, stride, padding, dilation, groups)

    return LinearOperator(
        name=f"{'×'.join(map(str, kernel))} convolution",
        in_shape=in_shape,
        out_shape=(int(weight.shape[0]), *out_spatial),
        apply=lambda v: function(v, weight, None, stride, padding, dilation, groups),
        matrix=matrix,
        known_transpose=None if padding == "same" else transpose,
    )


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """Return the (C_out, C_in, *kernel) weight that a grouped convolution's (C_out, C_in / groups, …) stands for."""
    if groups == 1:
        return weight
    c_out, per_group = int(weight.shape[0]) // groups, int(weight.shape[1])
    full = weight.new_zeros(weight.shape[0], per_group * groups, *weight.shape[2:])
    for g in range(groups):
        rows = slice(g * c_out, (g + 1) * c_out)
        full[rows, g * per_group : (g + 1) * per_group] = weight[rows]
    return full


def padding(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    """Return a padding of the pixels in any of torch's modes.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: it adds channels.
    """
    given = named(("pad", "mode", "value"), args, kwargs)
    pad, mode = [int(p) for p in given["pad"]], given.get("mode", "constant")
    spatial = in_shape[1:]
    if len(pad) > 2 * len(spatial):
        raise UnsupportedUnitError(
            "a padding that adds channels inside the branch is not known to the exact engine"
        )
    sources = _padded_sources(spatial, pad, mode)
    seen = np.flatnonzero(sources.reshape(-1) >= 0)

    def matrix() -> SharedBlockMatrix:
        return SharedBlockMatrix.from_entries(
            torch.eye(in_shape[0], dtype=torch.float64, device="cpu")[None],
            seen,
            sources.reshape(-1)[seen],
            np.zeros(seen.size, dtype=np.int64),
            pixels_out=sources.size,
            pixels_in=math.prod(spatial),
        )

    return LinearOperator(
        f"{mode} padding",
        in_shape,
        (in_shape[0], *sources.shape),
        apply=lambda v: F.pad(v, pad, mode=mode),
        matrix=matrix,
    )


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values


def _padded_sources(spatial: Shape, pad: Sequence[int], mode: str) -> IntArray:
    """Return, for each pixel of the padded image, the pixel it shows; -1 where padding put a constant.

    `pad` is in torch's order: (before, after) of the last axis first.
    """
    # float64 holds every index below 2^53; reflect and circular padding take no integers
    index = torch.arange(1, 1 + math.prod(spatial), dtype=torch.float64, device="cpu").reshape(1, 1, *spatial)
    padded = F.pad(index, list(pad), mode=mode) if any(pad) else index
    return padded[0, 0].numpy().astype(np.int64) - 1
