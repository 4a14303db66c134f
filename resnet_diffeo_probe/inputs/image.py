"""One image file → one array of pixels, whatever its mode, orientation and size."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_diffeo_probe.inputs.preprocessing import Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "MAX_UNRESIZED", "DecodedImage", "UnreadableImageError", "read_picture", "recognize"]

# PIL's own limit (a quarter of a GiB of RGB): beyond it a small file may be built to fill the memory
MAX_PIXELS = 89_478_485
# as it is, an image becomes four bytes a number, several times over: 4096×4096
MAX_UNRESIZED = 2**24
# what photographs and data sets come in; PIL would hand an EPS file, which is a program, to Ghostscript
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
# ImageNet evaluation in torchvision resizes the shorter side to 256 before it crops 224
_RESIZE_OVER_CROP = 256 / 224


class UnreadableImageError(Exception):
    """A file that cannot be used as an image; the message is the reason shown to the user."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (C, H, W), uint8.
        notes: what was converted, in words that do not depend on the file, so that they can be counted.
        digest: SHA-256 of the file.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = field(default=())
    digest: bytes = b""


def recognize(path: Path) -> None:
    """Return if the file's header is that of an image of sane size; its pixels are not decoded.

    Raises:
        UnreadableImageError: it is no image, or one too large to decode safely.
    """
    with _opened(path) as stream:
        _identified(stream)


def read_picture(path: Path, channels: int | None, preprocessing: Preprocessing) -> DecodedImage:
    """Decode an image, turn it upright, bring it to the wanted channels and size.

    Args:
        path: the file.
        channels: 1 or 3; None keeps grey images grey and makes all others RGB.
        preprocessing: its `size` and `resize` are applied here.

    Raises:
        UnreadableImageError: the file is no image, is damaged, or is too large to decode safely.
    """
    from PIL import ImageOps  # noqa: PLC0415 - only for images

    notes: list[str] = []
    try:
        with _opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata: the pixels are what counts
            digest = hashlib.file_digest(stream, "sha256").digest()
            stream.seek(0)
            opened = _identified(stream)
            if getattr(opened, "is_animated", False):  # the number of frames would take a walk through all
                notes.append("first frame of several taken")
            if preprocessing.size is None and opened.width * opened.height > MAX_UNRESIZED:
                raise UnreadableImageError(
                    f"more than {MAX_UNRESIZED / 1e6:.0f} million pixels: only resized, with --size"
                )
            opened.load()
            image: Image = ImageOps.exif_transpose(opened)
            image = _converted(image, channels, notes)
            image = _resized(image, preprocessing, notes)
            pixels = np.array(image, dtype=np.uint8)
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError("does not fit into memory") from error
    except Exception as error:  # decoders of forty formats, fed with anything
        lines = str(error).strip().splitlines()
        raise UnreadableImageError(
            f"damaged image: {lines[0][:120] if lines else type(error).__name__}"
        ) from error
    pixels = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return DecodedImage(pixels, tuple(notes), digest)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file that has something in it."""
    if path.exists() and not path.is_file():  # a pipe would make the reader wait for ever
        raise UnreadableImageError("not a regular file")
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise UnreadableImageError("no permission to read it") from error
    except OSError as error:
        raise UnreadableImageError(f"cannot be opened: {error.strerror}") from error
    with stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise UnreadableImageError("empty file")
        yield stream


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are read, of those that this PIL has."""
    from PIL import Image  # noqa: PLC0415

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _identified(stream: BufferedReader) -> Image:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(stream, formats=_formats())
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(_too_large()) from error
    except Exception as error:  # parsers of forty formats, fed with anything
        raise UnreadableImageError(f"damaged image: {str(error)[:120]}") from error
    # the user's program may have raised PIL's limit; ours stays
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(_too_large())
    return image


def _too_large() -> str:
    return f"more than {MAX_PIXELS / 1e6:.0f} million pixels: a decompression bomb, or too large to probe"


def _converted(image: Image, channels: int | None, notes: list[str]) -> Image:
    """Return an 8-bit grey or RGB image."""
    mode = image.mode
    if mode in {"I;16", "I;16L", "I;16B", "I;16N", "I"}:
        image = _eight_bit(image)
        notes.append("16-bit pixels rounded to 8 bits")
    elif mode == "F":
        raise UnreadableImageError("floating-point pixels of unknown range: give them as a .npy tensor")
    elif mode in {"P", "PA"}:
        image = image.convert("RGBA").convert("RGB")
        notes.append("palette resolved to RGB")
    elif mode in {"RGBA", "LA", "RGBa", "La"}:
        image = image.convert("RGB" if mode.startswith("RGB") else "L")
        notes.append("transparency left out")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in {"L", "RGB"}:
        image = image.convert("RGB")
        notes.append(f"{mode} converted to RGB")
    if channels == 3 and image.mode == "L":
        notes.append("grey repeated in three channels")
        image = image.convert("RGB")
    elif channels == 1 and image.mode == "RGB":
        notes.append("colour converted to grey")
        image = image.convert("L")
    return image


def _eight_bit(image: Image) -> Image:
    """Return a 16-bit grey image rounded to 8 bits: 65535 becomes 255."""
    from PIL import Image as Images  # noqa: PLC0415

    values: NDArray[Any] = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError(
            "integer pixels beyond 16 bits, of unknown range: give them as a .npy tensor"
        )
    rounded = np.empty(values.shape, dtype=np.uint8)
    for row, wide in zip(rounded, values, strict=True):  # one row at a time is widened
        row[:] = (wide.astype(np.int64) + 128) // 257
    return Images.fromarray(rounded)


def _resized(image: Image, preprocessing: Preprocessing, notes: list[str]) -> Image:
    """Resize the shorter side and crop the centre, as torchvision's ImageNet evaluation does."""
    from PIL import Image as Images  # noqa: PLC0415

    if preprocessing.size is None:
        return image
    height, width = preprocessing.target
    if (image.height, image.width) == (height, width):
        return image
    if min(image.width / width, image.height / height) < 1:
        notes.append("smaller than the wanted size, so enlarged")
    # the side that is the tighter fit is brought to `resize`; for a square target that is the shorter side
    over = preprocessing.resize / min(height, width) if preprocessing.resize else _RESIZE_OVER_CROP
    if image.width * height <= image.height * width:
        new_width = round(width * over)
        new_height = max(height, int(new_width * image.height / image.width))
    else:
        new_height = round(height * over)
        new_width = max(width, int(new_height * image.width / image.height))
    if new_width * new_height > MAX_PIXELS:
        raise UnreadableImageError("too long and thin to be resized to the wanted size")
    image = image.resize((new_width, new_height), Images.Resampling.BILINEAR)
    left, top = round((new_width - width) / 2), round((new_height - height) / 2)
    return image.crop((left, top, left + width, top + height))
