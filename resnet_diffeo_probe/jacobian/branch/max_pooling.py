"""Max pooling inside a branch: spread every window over more channels, keep the largest of each, add up.

Spreading and adding are linear and the same at all inputs; which one is the largest is a diagonal of zeros and ones, as
for a ReLU. So it is exact like everything else, and only the winners are active where the branch is cut there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, SharedBlockMatrix, on_device
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape
from resnet_diffeo_probe.jacobian.branch.stages import StageDerivative

__all__ = ["MaxPooling", "SelectionStage", "max_pooling"]

_FUNCTIONS: dict[Callable[..., Any], int] = {
    torch.max_pool1d: 1,
    torch.max_pool2d: 2,
    torch.max_pool3d: 3,
    F.max_pool1d: 1,
    F.max_pool2d: 2,
    F.max_pool3d: 3,
}
_NAMES = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")


@dataclass(frozen=True)
class SelectionStage:
    """The largest of every `taps` neighbouring channels stays, the others become zero.

    Its derivative jumps where two are equal, not where one coordinate has a certain value: so it does not count among
    the stages that are linear between kinks of their own coordinates.
    """

    taps: int
    name = "max pooling"
    piecewise_linear = False
    per_pixel = False
    gathers = False

    def _windows(self, h: Tensor) -> Tensor:
        """(1, C·taps, *spatial) -> (C, taps, *spatial)."""
        return h.reshape(-1, self.taps, *h.shape[2:])

    def at(self, h: Tensor) -> StageDerivative:
        """Return what stays and the diagonal of zeros and ones."""
        windows = self._windows(h)
        largest = windows.detach().argmax(dim=1, keepdim=True)
        tap = torch.arange(self.taps, device=h.device).reshape(1, -1, *(1,) * (windows.dim() - 2))
        chosen = (tap == largest).reshape(h.shape)
        return StageDerivative(torch.where(chosen, h, torch.zeros_like(h)), chosen.to(h.dtype))

    def on_kink(self, h: Tensor) -> Tensor:
        """Return which coordinates share the largest value of their window, within rounding."""
        windows = self._windows(h)
        finite = torch.where(torch.isfinite(windows), windows, torch.zeros_like(windows))
        tolerance = 64 * torch.finfo(h.dtype).eps * float(finite.abs().max()) if h.numel() else 0.0
        near = windows >= windows.amax(dim=1, keepdim=True) - tolerance
        shared = near & (near.sum(dim=1, keepdim=True) > 1)
        return shared.reshape(h.shape)


@dataclass(frozen=True)
class MaxPooling:
    """A max pooling as spread, selection and sum.

    Attributes:
        spread: (1, C, *spatial) -> (1, C·taps, *out), minus infinity where a window reaches into padding.
        windows: the linear part of `spread`: zero there.
        selection: what stays of every window.
        total: (B, C·taps, *out) -> (B, C, *out), the sum over each window.
    """

    spread: Callable[[Tensor], Tensor]
    windows: LinearOperator
    selection: SelectionStage
    total: LinearOperator


def max_pooling(
    target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> MaxPooling | None:
    """Return a max pooling taken apart, None if the function is none.

    Args:
        target: the torch function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: it gives indices as well, or its input has other axes.
    """
    axes = _FUNCTIONS.get(target)
    if axes is None:
        return None
    given = dict(zip(_NAMES, args, strict=False)) | kwargs
    if given.get("return_indices") or len(in_shape) != axes + 1:
        raise UnsupportedUnitError("a max pooling that gives indices is not known to the exact engine")
    kernel = _per_axis(given["kernel_size"], axes)
    stride = _per_axis(given.get("stride") or kernel, axes)
    padding, dilation = (_per_axis(given.get(key, d), axes) for key, d in (("padding", 0), ("dilation", 1)))
    probe = torch.zeros(1, 1, *in_shape[1:], dtype=torch.float64, device="cpu")
    out = tuple(target(probe, *args, **kwargs).shape[2:])
    sources = _sources(in_shape[1:], out, kernel, stride, padding, dilation)
    channels, taps = in_shape[0], sources.shape[0]
    spread_shape = (channels * taps, *out)
    place = np.where(sources < 0, math.prod(in_shape[1:]), sources).reshape(-1)

    def spread_over(v: Tensor, outside: float) -> Tensor:
        flat = v.flatten(2)
        edge = torch.full_like(flat[:, :, :1], outside)
        return torch.cat([flat, edge], dim=2)[:, :, on_device(place, v)].reshape(v.shape[0], *spread_shape)

    def windows_matrix() -> SharedBlockMatrix:
        tap, pixel = np.nonzero(sources >= 0)
        blocks = torch.zeros(taps, channels, taps, channels, dtype=torch.float64, device="cpu")
        for t in range(taps):
            blocks[t, :, t, :] = torch.eye(channels, dtype=torch.float64, device="cpu")
        return SharedBlockMatrix.from_entries(
            blocks.reshape(taps, channels * taps, channels),
            pixel,
            sources[tap, pixel],
            tap,
            pixels_out=math.prod(out),
            pixels_in=math.prod(in_shape[1:]),
        )

    ones = torch.eye(channels, dtype=torch.float64, device="cpu").repeat_interleave(taps, dim=1)
    return MaxPooling(
        lambda x: spread_over(x, -torch.inf),
        LinearOperator("windows", in_shape, spread_shape, lambda v: spread_over(v, 0.0), windows_matrix),
        SelectionStage(taps),
        LinearOperator(
            "sum over windows",
            spread_shape,
            (channels, *out),
            lambda v: v.reshape(v.shape[0], channels, taps, *out).sum(dim=2),
            lambda: SharedBlockMatrix.diagonal(ones, math.prod(out)),
        ),
    )


def _sources(
    spatial: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> IntArray:
    """Return (taps, pixels out): the pixel that each tap of each window sees, −1 outside of the image."""
    found = []
    for offset in product(*(range(k) for k in kernel)):
        index = np.zeros(out, dtype=np.int64)
        inside = np.ones(out, dtype=bool)
        for axis, (size, n) in enumerate(zip(spatial, out, strict=True)):
            at = np.arange(n) * stride[axis] - padding[axis] + offset[axis] * dilation[axis]
            at = at.reshape((-1,) + (1,) * (len(out) - axis - 1))
            index = index * size + at
            inside &= (at >= 0) & (at < size)
        found.append(np.where(inside, index, -1).reshape(-1))
    return np.stack(found)


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values
