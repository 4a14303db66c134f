"""Stored pictures as `<img>` sources: read with care, coloured where they are values, written anew."""

from __future__ import annotations

import base64
import binascii
import io
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image

__all__ = ["GREY", "SHARE", "SIGNED", "source_of"]

#: Colour maps by what is shown: activations, shares of a whole, signed differences.
GREY, SHARE, SIGNED = "gray", "cividis", "PuOr_r"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NO_VALUE = 255
_LEVELS = 255


def source_of(picture: Mapping[str, Any], colours: str = GREY) -> str | None:
    """Return a `data:` URI of a PNG file that this function wrote; None where the stored one cannot be read.

    A result may have been edited by hand: nothing of the stored file reaches the page but its pixels, and a file
    that is larger than it says is not unpacked.

    Args:
        picture: as stored, valid for the schema.
        colours: the colour map for a picture with a scale; its levels of no value become transparent.
    """
    try:
        raw = base64.b64decode(picture["png"], validate=True)
        # the size stands in the header: nothing is unpacked before it is known to be what the schema allows
        if raw[:8] != _SIGNATURE or raw[16:24] != struct.pack(">2I", picture["width"], picture["height"]):
            return None
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
            image.load()
            shown = image.convert("L" if picture["scale"] is not None or image.mode == "L" else "RGB")
    except (OSError, ValueError, SyntaxError, binascii.Error):  # PIL calls a broken chunk a SyntaxError
        return None
    buffer = io.BytesIO()
    if picture["scale"] is None:
        shown.save(buffer, format="PNG", optimize=True)
    else:
        coloured = Image.frombytes("P", shown.size, shown.tobytes())
        coloured.putpalette(_palette(colours))
        coloured.save(buffer, format="PNG", optimize=True, transparency=_NO_VALUE)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _palette(colours: str) -> bytes:
    shades = mpl.colormaps[colours](np.linspace(0, 1, _LEVELS))[:, :3]
    return bytes(np.rint(shades * 255).astype(np.uint8).ravel().tolist()) + b"\x00\x00\x00"
