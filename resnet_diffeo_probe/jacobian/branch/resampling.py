"""Average pooling and interpolation: the same linear map of pixels in every channel, read off a basis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape

__all__ = ["RESAMPLINGS", "resampling"]

RESAMPLINGS: dict[str, Callable[..., Tensor]] = {
    "avg_pool1d": F.avg_pool1d,
    "avg_pool2d": F.avg_pool2d,
    "avg_pool3d": F.avg_pool3d,
    "adaptive_avg_pool1d": F.adaptive_avg_pool1d,
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "adaptive_avg_pool3d": F.adaptive_avg_pool3d,
    "interpolate": F.interpolate,
}

# Pixels of a basis that go through a resampling at a time.
_BASIS = 512


def resampling(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    """Return an average pooling or an interpolation.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: the interpolation's mode is none of the linear ones.
    """
    mode = kwargs.get("mode", args[2] if name == "interpolate" and len(args) > 2 else "nearest")
    if name == "interpolate" and mode not in (
        "nearest",
        "nearest-exact",
        "linear",
        "bilinear",
        "trilinear",
        "bicubic",
        "area",
    ):
        raise UnsupportedUnitError(f"interpolation of mode '{mode}' is not known to the exact engine")
    function = RESAMPLINGS[name]

    def apply(v: Tensor) -> Tensor:
        return function(v, *args, **kwargs)

    spatial = in_shape[1:]
    out_spatial = tuple(apply(torch.zeros(1, 1, *spatial, dtype=torch.float64, device="cpu")).shape[2:])

    def matrix() -> SharedBlockMatrix:
        pixels = math.prod(spatial)
        rows, cols, values = [], [], []
        for start in range(0, pixels, _BASIS):
            count = min(_BASIS, pixels - start)
            basis = torch.zeros(count, pixels, dtype=torch.float64, device="cpu")
            basis.diagonal(start).fill_(1)
            image = apply(basis.reshape(count, 1, *spatial)).reshape(count, -1)
            at = image.nonzero()
            cols.append(at[:, 0].numpy() + start)
            rows.append(at[:, 1].numpy())
            values.append(image[at[:, 0], at[:, 1]].numpy())
        weights, ids = np.unique(np.concatenate(values), return_inverse=True)
        eye = torch.eye(in_shape[0], dtype=torch.float64, device="cpu")
        return SharedBlockMatrix.from_entries(
            torch.from_numpy(weights)[:, None, None] * eye,
            np.concatenate(rows),
            np.concatenate(cols),
            ids.reshape(-1).astype(np.int64),
            pixels_out=math.prod(out_spatial),
            pixels_in=pixels,
        )

    return LinearOperator(name.replace("_", " "), in_shape, (in_shape[0], *out_spatial), apply, matrix)
