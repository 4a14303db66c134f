"""One quantity: the units of this network above those of the four spiral networks, on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resnet_diffeo_probe.references.catalogue import unit_distribution
from resnet_diffeo_probe.references.quantities import QUANTITIES, SMALLEST
from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.figures.drawable import clamped
from resnet_diffeo_probe.report.text.escaping import number, power, visible

__all__ = ["draw_place"]

_LETTERS = "abcd"
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def draw_place(key: str, values: Mapping[str, float]) -> Markup:
    """Return the figure as inline SVG.

    Args:
        key: one of the references' quantities.
        values: a unit's name and its summary.
    """
    quantiles = {
        letter: [float(q) for q in np.quantile(unit_distribution(letter, key), _QUANTILES)]
        for letter in _LETTERS
    }
    drawn = [clamped(value) for value in values.values()]
    # the quantities that the comparison takes on a logarithmic scale are drawn on one
    log = QUANTITIES[key].log
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=(5.0, 2.15))
        axes = figure.add_axes((0.135, 0.15, 0.835, 0.82))
        axes.set_ylim(-0.6, 4.7)
        axes.yaxis.set_major_locator(FixedLocator([4, 3, 2, 1, 0]))
        axes.set_yticklabels(["units", *(f"({letter})" for letter in _LETTERS)])
        axes.tick_params(axis="y", length=0)
        _scale(axes, log=log, shown=[*drawn, *(q for qs in quantiles.values() for q in qs)])
        axes.grid(axis="x", color=svg.GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for row, letter in zip((3, 2, 1, 0), _LETTERS, strict=True):
            low, lower, middle, upper, high = (max(q, SMALLEST) if log else q for q in quantiles[letter])
            axes.plot([low, high], [row, row], color=svg.GREY, linewidth=2.5)
            axes.plot([lower, upper], [row, row], color=svg.GREY, linewidth=8)
            axes.plot([middle, middle], [row - 0.3, row + 0.3], color=svg.INK, linewidth=2)
        _ticks_of_units(axes, [max(v, SMALLEST) if log else v for v in drawn])
    units = "; ".join(f"{visible(name)} {number(value)}" for name, value in values.items())
    spirals = "; ".join(
        f"({letter}) {number(qs[2])} [{number(qs[0])}, {number(qs[4])}]" for letter, qs in quantiles.items()
    )
    alt = f"{QUANTITIES[key].meaning}. Units of this network: {units}. Spiral networks, median [5 %, 95 %]: {spirals}."
    return svg.to_inline_svg(figure, prefix=f"place-{key}", alt=alt)


def _scale(axes: Any, *, log: bool, shown: list[float]) -> None:
    if log:
        low, high = max(min(shown), SMALLEST), max(*shown, SMALLEST)
        margin = max((high / low) ** 0.04, 1.05)
        axes.set_xscale("log")
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"10{power(round(np.log10(value)))}"))
        if high / low < 100:
            ticks = [d * 10.0**e for e in range(-17, 12) for d in (1, 2, 5)]
            axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(f"{value:.6g}"))))
    else:
        low, high = min(shown), max(shown)
        margin = 0.04 * (high - low) or 0.05
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(f"{value:.6g}"))))
    axes.xaxis.set_minor_locator(NullLocator())


def _ticks_of_units(axes: Any, values: list[float]) -> None:
    # one path for all units: a mark each would make a large page of a deep network
    vertices = [point for value in values for point in ((value, 3.62), (value, 4.38))]
    codes = np.tile([Path.MOVETO, Path.LINETO], len(values))
    axes.add_patch(
        PathPatch(Path(vertices, codes), edgecolor=svg.BLUE, facecolor="none", linewidth=2.2, alpha=0.75)
    )
