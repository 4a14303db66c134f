"""Arrays as small pictures for `result.json`: images as they were given, and quantised values with their scale."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnet_diffeo_probe.inputs import Preprocessing

__all__ = ["GAP", "Pixels", "PngPicture", "mosaic", "tiles", "values_picture"]

#: A grey level that is no value: the lines between the tiles of a mosaic.
GAP = 255
#: Bytes of one PNG file.
MAX_BYTES = 20_000
# Sides of a picture, in the order in which they are tried until the file is small enough.
_IMAGE_SIDES = (96, 80, 64, 48, 32)
_MAP_SIDE = 64
_TILE_SIDE = 32

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PngPicture:
    """A PNG file.

    Attributes:
        png: its bytes, at most `MAX_BYTES`.
        width: in pixels.
        height: in pixels.
        scale: for grey pictures (low, high): level k of 0 … 254 is the value low + (high − low)·k/254, and 255 is no
            value; None for an image that is shown as it is.
        pooled_from: (height, width) of the array where the picture holds means over blocks of it.
    """

    png: bytes
    width: int
    height: int
    scale: tuple[float, float] | None = None
    pooled_from: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object of `result.json`."""
        return {
            "png": base64.b64encode(self.png).decode(),
            "width": self.width,
            "height": self.height,
            "scale": None if self.scale is None else list(self.scale),
            "pooled_from": None if self.pooled_from is None else list(self.pooled_from),
        }


def values_picture(values: Tensor, low: float, high: float, *, side: int = _MAP_SIDE) -> PngPicture:
    """Return values as grey levels.

    Args:
        values: (H, W).
        low: the value of level 0.
        high: the value of level 254; values outside are set to the nearer end.
        side: larger arrays are averaged over blocks until no side is longer.
    """
    pooled = _pooled(values.detach().to(device="cpu", dtype=torch.float64)[None], side)[0].numpy()
    came_from = (int(values.shape[0]), int(values.shape[1])) if pooled.shape != tuple(values.shape) else None
    return _grey(_levels(pooled, low, high), (low, high), came_from)


def tiles(channels: int) -> tuple[int, int]:
    """Return the rows and columns of a mosaic of so many tiles."""
    columns = math.ceil(math.sqrt(channels))
    return math.ceil(channels / columns), columns


def mosaic(channels: Tensor, low: float, high: float) -> PngPicture:
    """Return channels side by side, in the order of reading, with a line of `GAP` between them.

    Args:
        channels: (K, H, W), K > 0.
        low: the value of level 0.
        high: the value of level 254.
    """
    pooled = _pooled(channels.detach().to(device="cpu", dtype=torch.float64), _TILE_SIDE).numpy()
    height, width = pooled.shape[1:]
    rows, columns = tiles(pooled.shape[0])
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), GAP, dtype=np.uint8)
    for place, channel in enumerate(pooled):
        top, left = (place // columns) * (height + 1), (place % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = _levels(channel, low, high)
    shape = (int(channels.shape[1]), int(channels.shape[2]))
    return _grey(canvas, (low, high), None if shape == (height, width) else shape)


@dataclass(frozen=True)
class Pixels:
    """How inputs of a network are shown: the preprocessing undone.

    Attributes:
        mean: (C, 1, 1).
        std: (C, 1, 1).
        limits: what black and white are, (0, 1) for pixels; the least and greatest value of inputs that are none.
    """

    mean: Tensor
    std: Tensor
    limits: tuple[float, float]

    @classmethod
    def of(cls, x: Tensor, preprocessing: Preprocessing) -> Pixels | None:
        """Return how an input (1, C, H, W) is shown; None where it has not one or three channels."""
        if x.dim() != 4 or x.shape[1] not in (1, 3) or not bool(torch.isfinite(x).all()):
            return None
        mean, std = (
            torch.tensor(v, dtype=torch.float64).view(-1, 1, 1)
            for v in (preprocessing.mean, preprocessing.std)
        )
        if len(mean) not in (1, x.shape[1]):
            return None
        pixels = x[0].double() * std + mean
        low, high = float(pixels.min()), float(pixels.max())
        # resizing overshoots a little; what lies farther out is no picture's range
        is_picture = low > -0.05 and high < 1.05
        return cls(mean, std, (0.0, 1.0) if is_picture else (low, high if high > low else low + 1))

    @property
    def are_pixels(self) -> bool:
        """Whether the numbers are brightnesses from 0 to 1."""
        return self.limits == (0.0, 1.0)

    def shown(self, x: Tensor) -> Tensor:
        """Return an input (1, C, H, W) as (C, H, W) with black 0 and white 1, not clipped."""
        low, high = self.limits
        return (x[0].detach().cpu().double() * self.std + self.mean - low) / (high - low)

    def picture(self, x: Tensor) -> PngPicture:
        """Return an input (1, C, H, W) as a picture of at most `MAX_BYTES`; large ones are scaled down."""
        levels = (self.shown(x).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        image = Image.fromarray(levels[0] if levels.shape[0] == 1 else np.moveaxis(levels, 0, -1))
        for side in _IMAGE_SIDES:
            scaled = image.copy()
            scaled.thumbnail((side, side), Image.Resampling.LANCZOS)
            png = _png(scaled)
            if len(png) <= MAX_BYTES:
                break
        shrunk = (image.height, image.width) if scaled.size != image.size else None
        return PngPicture(png, scaled.width, scaled.height, None, shrunk)


def _pooled(values: Tensor, side: int) -> Tensor:
    """Average (K, H, W) over blocks until neither side is longer; unequal blocks differ by one row or column."""
    height, width = values.shape[1:]
    if max(height, width) <= side:
        return values
    factor = side / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return torch.nn.functional.adaptive_avg_pool2d(values[None], size)[0]


def _levels(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    span = high - low
    share = np.zeros_like(values) if span <= 0 else (values - low) / span
    return np.clip(np.rint(share * (GAP - 1)), 0, GAP - 1).astype(np.uint8)


def _grey(
    levels: NDArray[np.uint8], scale: tuple[float, float], pooled_from: tuple[int, int] | None
) -> PngPicture:
    return PngPicture(_png(Image.fromarray(levels)), levels.shape[1], levels.shape[0], scale, pooled_from)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
