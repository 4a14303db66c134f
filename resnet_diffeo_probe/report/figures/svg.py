"""A matplotlib figure as inline SVG: coloured by the page's CSS, ids unique, the same bytes every time."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "GRID", "INK", "MUTED", "ORANGE", "RED", "STYLE", "to_inline_svg"]

# Stand-ins that matplotlib writes verbatim; each becomes a CSS variable, so that one picture serves the light
# page, the dark page and the printer. Without CSS the fallback is used.
INK, MUTED, GRID = "#010101", "#010102", "#010103"
BLUE, RED, ORANGE, GREY = "#010104", "#010105", "#010106", "#010107"
_VARIABLES = {
    INK: "var(--ink,#1a1d21)",
    MUTED: "var(--muted,#545c66)",
    GRID: "var(--grid,#e3e6ea)",
    BLUE: "var(--mark-blue,#2166ac)",
    RED: "var(--mark-red,#7f0000)",
    ORANGE: "var(--mark-orange,#8f5f00)",
    GREY: "var(--mark-grey,#9aa1aa)",
}

#: Settings under which every figure of the report is made and written.
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: selectable, small
    "svg.hashsalt": "diffeo-probe",
    "svg.id": None,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a `$` in the name of a module is a dollar
    "figure.facecolor": "none",  # the page shows through, light or dark
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "path.simplify": False,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def to_inline_svg(figure: Figure, *, prefix: str, alt: str) -> Markup:
    """Return the figure as an `<svg>` element for the body of a page.

    Args:
        figure: made under `STYLE`, with the colours of this module.
        prefix: makes its ids unique in the page.
        alt: the text alternative, with the numbers that the picture shows.
    """
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=_NO_METADATA)
    return Markup(_rewrite(buffer.getvalue(), prefix, alt))  # noqa: S704 - matplotlib escapes what it writes


def _rewrite(text: str, prefix: str, alt: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # a style sheet inside an inline picture would apply to the whole page
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    view_box = re.search(r'viewBox="[^"]*"', text)
    size = f'width="360" {view_box[0] if view_box else ""}'
    opening = f'<svg class="plot" role="img" {size} aria-label="{Markup.escape(alt)}">'
    text = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    text = re.sub(r"<g>\s*</g>", "", text)
    return re.sub(r"\n\s*", "\n", text)
