"""Bars over the units of a network, coloured by the verdict on the sum map, with the spread over the inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.figures.drawable import clamped
from resnet_diffeo_probe.report.text.states import StateWords

__all__ = ["Bar", "colour_name", "draw_bars"]

_SIZE = (5.0, 3.1)
_LEFT, _WIDTH, _TOP = 0.135, 0.855, 0.9
_MOST_LABELS = 18
# A range is cut, and marked, where it goes beyond the largest median by this factor.
_REACH = 3.0
_COLOURS = {
    "not_injective_proven": svg.RED,
    "certified_injective": svg.BLUE,
    "undetermined": svg.ORANGE,
}
_NAMES = {svg.RED: "red", svg.BLUE: "blue", svg.ORANGE: "orange", svg.GREY: "grey"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One unit: its label, the verdict on its sum map, and a number with its spread, or none."""

    label: str
    state: StateWords
    median: float | None
    least: float | None = None
    greatest: float | None = None


def colour_name(state: StateWords) -> str:
    """Return what the colour of a verdict's bars is called."""
    return _NAMES[_COLOURS.get(state.key, svg.GREY)]


def draw_bars(bars: Sequence[Bar], *, write: Callable[[float], str], prefix: str, alt: str) -> Markup:
    """Return bars from zero to the medians, a line from least to greatest, and the verdicts' icons above.

    Args:
        bars: in network order, at least one.
        write: how a number is written at the axis.
        prefix: for unique ids.
        alt: the text alternative.
    """
    bars = [
        replace(bar, median=_held(bar.median), least=_held(bar.least), greatest=_held(bar.greatest))
        for bar in bars
    ]
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=_SIZE)
        bottom = (8 + 5.9 * max(len(bar.label) for bar in bars)) / (72 * _SIZE[1])
        axes = figure.add_axes((_LEFT, bottom, _WIDTH, _TOP - bottom))
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.set_ylim(*_limits(bars))
        step = math.ceil(len(bars) / _MOST_LABELS)
        places = list(range(0, len(bars), step))
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.set_xticklabels([bars[place].label for place in places], rotation=90, fontsize=10)
        axes.tick_params(length=2.5, pad=2)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(f"{value:.6g}"))))
        axes.grid(axis="y", color=svg.GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.axhline(0, color=svg.MUTED, linewidth=1)
        for place, bar in enumerate(bars):
            _draw(axes, place, bar, crowded=step > 2)
    return svg.to_inline_svg(figure, prefix=prefix, alt=alt)


def _held(value: float | None) -> float | None:
    return None if value is None else clamped(value)


def _limits(bars: Sequence[Bar]) -> tuple[float, float]:
    """Return limits with all medians, and with ranges as far as they do not dwarf these."""
    medians = [bar.median for bar in bars if bar.median is not None]
    values = [v for bar in bars for v in (bar.median, bar.least, bar.greatest) if v is not None]
    reach = _REACH * max((abs(median) for median in medians), default=0.0) or max(
        map(abs, values), default=1.0
    )
    low, high = max(min([0.0, *values]), -reach), min(max([0.0, *values]), reach)
    margin = 0.05 * (high - low) or 1.0
    return low - (margin if low < 0 else 0), high + (margin if high > 0 else 0)


def _draw(axes: Any, place: int, bar: Bar, *, crowded: bool) -> None:
    colour = _COLOURS.get(bar.state.key, svg.GREY)
    if bar.median is None:
        axes.axvspan(place - 0.45, place + 0.45, facecolor=svg.GRID, linewidth=0, zorder=0.4)
    else:
        axes.bar(place, bar.median, width=0.66, color=colour, linewidth=0)
        axes.plot([place - 0.33, place + 0.33], [bar.median] * 2, color=colour, linewidth=1.6)
    if bar.least is not None and bar.greatest is not None and bar.greatest > bar.least:
        axes.plot([place] * 2, [bar.least, bar.greatest], color=svg.INK, linewidth=1.1)
        low, high = axes.get_ylim()
        for beyond, height, marker in ((bar.greatest > high, 0.985, "^"), (bar.least < low, 0.015, "v")):
            if beyond:
                across = axes.get_xaxis_transform()
                axes.plot(
                    [place], [height], marker, color=svg.INK, markersize=5, transform=across, clip_on=False
                )
    axes.text(
        place,
        1.04,
        bar.state.icon,
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="baseline",
        fontsize=7 if crowded else 11,
        color=colour if colour != svg.GREY else svg.MUTED,
    )
