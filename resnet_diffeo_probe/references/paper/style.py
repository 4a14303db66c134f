"""Colours and settings of the paper report's figures, and how a figure becomes part of a single file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

__all__ = [
    "CLASS_COLOURS",
    "NEGATIVE",
    "NETWORK_COLOURS",
    "SCHEME_COLOURS",
    "STYLE",
    "PaperFigure",
    "picture",
]

CLASS_COLOURS = ("#2166AC", "#E69F00")
NETWORK_COLOURS = {"a": "#B2182B", "b": "#2166AC", "c": "#1B7837", "d": "#762A83"}
SCHEME_COLOURS = {
    "euler": "#000000",
    "midpoint": "#0072B2",
    "rk4": "#D55E00",
    "implicit-midpoint": "#009E73",
    "adaptive": "#CC79A7",
}
NEGATIVE = "#1A1A1A"  # det <= 0 is a category of its own, never an end of a colour scale

STYLE: Any = {
    "svg.hashsalt": "diffeo-probe",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
    "hatch.color": "#9A9A9A",
    "figure.facecolor": "white",
}
DPI = 130


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """A figure for the page.

    Attributes:
        key: short name, the anchor in the page.
        title: its heading.
        caption: what is to be seen, as plain text.
        alt: the text alternative, with the numbers.
        source: a data URI.
        png: the picture as a bitmap, to be looked at.
    """

    key: str
    title: str
    caption: str
    alt: str
    source: str
    png: bytes


def picture(figure: Figure, key: str, title: str, caption: str, alt: str, *, vector: bool) -> PaperFigure:
    """Turn a figure into a picture; the same figure gives the same bytes.

    Args:
        figure: made by the object interface.
        key: see `Picture`.
        title: see `Picture`.
        caption: see `Picture`.
        alt: see `Picture`.
        vector: embed SVG; a figure of many marks is smaller as a bitmap.
    """
    with mpl.rc_context(STYLE):
        bitmap = io.BytesIO()
        FigureCanvasAgg(figure).print_png(bitmap, metadata={"Software": None})
        bitmap = _with_palette(bitmap)
        if vector:
            drawing = io.StringIO()
            FigureCanvasSVG(figure).print_svg(drawing, metadata={"Date": None, "Creator": None})
            payload, kind = drawing.getvalue().encode(), "svg+xml"
        else:
            payload, kind = bitmap.getvalue(), "png"
    source = f"data:image/{kind};base64,{base64.b64encode(payload).decode()}"
    return PaperFigure(key, title, caption, alt, source, bitmap.getvalue())


def _with_palette(bitmap: io.BytesIO) -> io.BytesIO:
    """Return the bitmap with 160 colours: far smaller, and no eye sees the difference in these figures."""
    with Image.open(bitmap) as image:
        reduced = image.convert("RGB").quantize(160, dither=Image.Dither.NONE)
    out = io.BytesIO()
    reduced.save(out, format="PNG", optimize=True)
    return out
