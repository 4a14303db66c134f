"""One panel of the depth charts: a column of values for every unit, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.figures.bands import Band, draw_bands
from resnet_diffeo_probe.report.figures.drawable import is_above, is_below, is_drawable
from resnet_diffeo_probe.report.text.escaping import number, percent, power

__all__ = ["Column", "Panel", "draw_panel", "has_dashes"]

# 360 × 225 px: readable without scaling on a telephone, three abreast on a desktop
_SIZE = (5.0, 3.1)
_LEFT, _WIDTH, _TOP = 0.135, 0.855, 0.89
#: Above this many values in a panel there is no dash an input but a bar a sign, which keeps the file small.
_MOST_DASHES = 6000
#: Quantiles between which such a bar lies.
_BAR = (0.05, 0.95)
_MOST_LABELS = 18


@dataclass(frozen=True, slots=True)
class Column:
    """What one unit shows in a panel."""

    label: str
    values: tuple[float, ...]
    median: float | None
    signs: tuple[int, ...] = ()
    glyph: str = ""
    absent: str = ""
    #: a run ended without a value that the axis could show: it is marked at the top
    diverged: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """How a panel is drawn.

    Attributes:
        log: logarithmic axis.
        line: where the reference line stands.
        limits: fixed limits of the axis.
        floor: the axis includes this value.
        percent: ticks as percentages.
        bars: one bar a unit instead of dashes and a median.
        bar_colour: red for what is a violation.
        by_sign: dashes coloured by the sign of the determinant.
        signs: a row of sign glyphs above.
        spans: the least and the greatest value of a unit are joined, and have no median.
    """

    log: bool = False
    line: float | None = None
    limits: tuple[float, float] | None = None
    floor: float | None = None
    percent: bool = False
    bars: bool = False
    bar_colour: str = svg.RED
    by_sign: bool = False
    signs: bool = False
    spans: bool = False


def draw_panel(
    panel: Panel, columns: Sequence[Column], *, prefix: str, alt: str, bands: Sequence[Band] = ()
) -> Markup:
    """Return the panel as inline SVG.

    Args:
        panel: how to draw.
        columns: one a unit, in network order; at least one has values.
        prefix: for unique ids.
        alt: the text alternative.
        bands: where the units of reference networks lie, drawn behind.
    """
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=_SIZE)
        bottom = _room_for_labels(columns)
        axes = figure.add_axes((_LEFT, bottom, _WIDTH, _TOP - bottom))
        axes.set_xlim(-0.6, len(columns) - 0.4)
        low, high = _limits(panel, columns, bands)
        if panel.log:
            axes.set_yscale("log")
        axes.set_ylim(low, high)
        _ticks(axes, panel, columns, low, high)
        axes.grid(axis="y", color=svg.GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        draw_bands(axes, bands, high)
        _mark_absent(axes, columns)
        if panel.line is not None:
            axes.axhline(panel.line, color=svg.MUTED, linewidth=1.1, dashes=(4, 2), zorder=1.5)
        if panel.bars:
            _draw_bars(axes, columns, panel.bar_colour)
        else:
            (_draw_dashes if has_dashes(columns) else _draw_condensed)(axes, panel, columns)
            if panel.spans:
                _draw_spans(axes, panel, columns)
            else:
                _draw_medians(axes, panel, columns)
            _draw_beyond(axes, panel, columns)
        if panel.signs:
            _draw_glyphs(axes, columns)
    return svg.to_inline_svg(figure, prefix=prefix, alt=alt)


def _room_for_labels(columns: Sequence[Column]) -> float:
    """Return the share of the height below the axis: upright names, about 5.9 px a character."""
    return (8 + 5.9 * max(len(column.label) for column in columns)) / (72 * _SIZE[1])


def _limits(panel: Panel, columns: Sequence[Column], bands: Sequence[Band]) -> tuple[float, float]:
    if panel.limits is not None:
        return panel.limits
    values = [value for column in columns for value in column.values if is_drawable(value, log=panel.log)]
    values += [value for value in (panel.line, panel.floor) if value is not None]
    values += [edge for band in bands for edge in (band.low, band.high) if is_drawable(edge, log=panel.log)]
    low, high = min(values, default=1.0), max(values, default=1.0)
    if panel.log:
        # a margin of 6 %, and at least a decade in all
        margin = max(0.06 * math.log10(high / low), (1 - math.log10(high / low)) / 2, 0.0)
        return low / 10**margin, high * 10**margin
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return (low if low == panel.floor else low - margin), high + margin


def _ticks(axes: Any, panel: Panel, columns: Sequence[Column], low: float, high: float) -> None:
    step = math.ceil(len(columns) / _MOST_LABELS)
    places = range(0, len(columns), step)
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.set_xticklabels([columns[place].label for place in places], rotation=90, fontsize=10)
    axes.tick_params(axis="x", length=2.5, pad=2)
    axes.tick_params(axis="y", length=2.5, pad=2, labelsize=10.5)
    axes.yaxis.set_minor_locator(NullLocator())
    if panel.log:
        axes.yaxis.set_major_locator(FixedLocator(_log_ticks(low, high)))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    write = percent if panel.percent else _power_of_ten if panel.log else number
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(float(f"{value:.6g}"))))


def _power_of_ten(value: float) -> str:
    exponent = round(math.log10(value))
    bare = value < 1e-2 or value >= 1e4
    return f"10{power(exponent)}" if bare and math.isclose(value, 10.0**exponent) else number(value)


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 5))
    digits = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [digit * 10.0**power for power in range(first, last + 1, step) for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def _mark_absent(axes: Any, columns: Sequence[Column]) -> None:
    for place, column in enumerate(columns):
        if column.values:
            continue
        axes.axvspan(place - 0.45, place + 0.45, facecolor=svg.GRID, linewidth=0, zorder=0.4)
        if len(columns) <= 2 * _MOST_LABELS:
            axes.text(
                place,
                0.5,
                column.absent,
                transform=axes.get_xaxis_transform(),
                rotation=90,
                ha="center",
                va="center",
                fontsize=9,
                color=svg.MUTED,
            )


def _draw_bars(axes: Any, columns: Sequence[Column], colour: str) -> None:
    for place, column in enumerate(columns):
        if column.values:
            share = column.values[0]
            axes.bar(place, share, width=0.7, color=colour, linewidth=0)
            # a share of 0 is a value, not an absence
            axes.plot(
                [place - 0.35, place + 0.35], [share, share], color=colour, linewidth=1.6, clip_on=False
            )


def has_dashes(columns: Sequence[Column]) -> bool:
    """Return whether a panel shows every input; else it shows where most of them lie, and the extremes."""
    return sum(len(column.values) for column in columns) <= _MOST_DASHES


def _by_colour(panel: Panel, column: Column) -> dict[str, list[float]]:
    """Return the values that the axis can show by the colour of their sign, positive ones first."""
    signs = column.signs if len(column.signs) == len(column.values) else (1,) * len(column.values)
    found: dict[str, list[float]] = {svg.BLUE: [], svg.RED: [], svg.ORANGE: []}
    for value, sign in zip(column.values, signs, strict=True):
        if is_drawable(value, log=panel.log):
            found[svg.BLUE if sign > 0 else svg.RED if sign < 0 else svg.ORANGE].append(value)
    return {colour: values for colour, values in found.items() if values}


def _draw_condensed(axes: Any, panel: Panel, columns: Sequence[Column]) -> None:
    for place, column in enumerate(columns):
        groups = _by_colour(panel, column)
        for turn, (colour, values) in enumerate(groups.items()):
            x = place + 0.3 * (turn - (len(groups) - 1) / 2)
            axes.plot([x, x], [min(values), max(values)], color=colour, linewidth=0.8, alpha=0.8, zorder=2)
            axes.plot([x, x], np.quantile(values, _BAR), color=colour, linewidth=3, alpha=0.5, zorder=2)


def _draw_dashes(axes: Any, panel: Panel, columns: Sequence[Column]) -> None:
    dashes: dict[str, list[tuple[float, float]]] = {}
    for place, column in enumerate(columns):
        for colour, values in _by_colour(panel, column).items():
            ends = dashes.setdefault(colour, [])
            for value in values:
                ends += [(place - 0.3, value), (place + 0.3, value)]
    for colour, vertices in sorted(dashes.items()):
        # one path for all inputs: a mark each would be 1,600 elements for 100 inputs on 16 units
        codes = np.tile([Path.MOVETO, Path.LINETO], len(vertices) // 2)
        axes.add_patch(
            PathPatch(
                Path(vertices, codes), edgecolor=colour, facecolor="none", linewidth=1.4, alpha=0.6, zorder=2
            )
        )


def _draw_spans(axes: Any, panel: Panel, columns: Sequence[Column]) -> None:
    for place, column in enumerate(columns):
        drawn = [value for value in column.values if is_drawable(value, log=panel.log)]
        if len(drawn) > 1:
            axes.plot([place, place], [min(drawn), max(drawn)], color=svg.BLUE, linewidth=1.4, zorder=2)


def _draw_medians(axes: Any, panel: Panel, columns: Sequence[Column]) -> None:
    shown = [
        c.median if c.median is not None and is_drawable(c.median, log=panel.log) else math.nan
        for c in columns
    ]
    axes.plot(range(len(columns)), shown, color=svg.INK, linewidth=1, marker="o", markersize=4, zorder=3)


def _draw_beyond(axes: Any, panel: Panel, columns: Sequence[Column]) -> None:
    """Mark columns with values that the axis cannot show: infinite and huge ones, and zero on a logarithm."""
    for height, marker, colour, test in (
        (0.985, "^", svg.MUTED, is_above),
        (0.015, "v", svg.ORANGE, partial(is_below, log=panel.log)),
    ):
        places = [
            place
            for place, column in enumerate(columns)
            if any(map(test, column.values)) or (column.diverged and marker == "^")
        ]
        if places:
            axes.plot(
                places,
                [height] * len(places),
                marker,
                color=colour,
                markersize=6,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                zorder=4,
            )


def _draw_glyphs(axes: Any, columns: Sequence[Column]) -> None:
    colours = {"+": svg.BLUE, "−": svg.RED, "±": svg.RED, "0": svg.ORANGE, "?": svg.ORANGE}
    for place, column in enumerate(columns):
        if column.glyph:
            axes.text(
                place,
                1.045,
                column.glyph,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="baseline",
                fontsize=12 if len(columns) <= 2 * _MOST_LABELS else 7,
                fontweight="bold",
                color=colours[column.glyph],
            )
