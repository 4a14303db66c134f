"""Figures of an analysis for a notebook or a paper: matplotlib's own, returned and never shown."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.measures.record.measure import Shown
from resnet_diffeo_probe.measures.registry import MEASURES
from resnet_diffeo_probe.report.figures.bands import bands_for
from resnet_diffeo_probe.report.figures.drawable import is_below, is_drawable
from resnet_diffeo_probe.report.text.escaping import label
from resnet_diffeo_probe.report.text.quantities import DENSITY, quantity, shown_in
from resnet_diffeo_probe.report.text.summary import value_of
from resnet_diffeo_probe.report.text.units import ReportUnit, units_of

__all__ = ["NotebookFigure", "depth", "determinants"]

_BLUE, _RED, _INK, _GREY = "#2166AC", "#7F0000", "#1A1D21", "#9AA1AA"
_STYLE: Any = {
    "svg.hashsalt": "diffeo-probe",
    "text.parse_math": False,  # a `$` in the name of a module is a dollar
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "font.size": 9,
}
# where a criterion changes: volume kept; the unit's own step; a residual as large as its input
_LINES = {measure.key: measure.line for measure in MEASURES if measure.line is not None}
_LOGARITHMIC = frozenset(measure.key for measure in MEASURES if measure.log)
_PANEL = (4.6, 2.6)


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        FigureCanvasAgg(self).print_png(buffer)
        return buffer.getvalue()


def depth(result: Mapping[str, Any], quantities: Sequence[str] = ()) -> NotebookFigure:
    """Return one panel a quantity over the units in network order: every value, and the median of each unit.

    Values that are infinite or that did not converge are triangles at the edge, never dropped. Grey: where the middle
    90 % of the units of spiral network (d) lie, for the quantities that compare.

    Args:
        result: a valid stored analysis.
        quantities: to draw; none for the usual ones that were measured.

    Raises:
        ConfigurationError: a quantity was not measured, or none was.
    """
    units = units_of(result)
    there = {key for unit in units for key in unit.rows}
    there |= {DENSITY} if "logabsdet" in there else set()
    wanted = tuple(quantities) or tuple(key for key in shown_in(Shown.FIGURE) if key in there)
    missing = [key for key in wanted if key not in there]
    if missing or not wanted:
        raise ConfigurationError(
            f"{missing[0] if missing else 'nothing'} was {'not ' if missing else ''}measured",
            why=f"the result holds {', '.join(sorted(there)) or 'no measurement'}",
            fix="analyse again with measures=[…] or another budget",
            code="not-measured",
        )
    with mpl.rc_context(_STYLE):
        columns = min(2, len(wanted))
        rows = math.ceil(len(wanted) / columns)
        figure = NotebookFigure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
        for place, key in enumerate(wanted, start=1):
            _draw(figure.add_subplot(rows, columns, place), units, key)
    return figure


def determinants(result: Mapping[str, Any]) -> NotebookFigure:
    """Return log|det J|/n at every input, blue where det J > 0 and red where it is negative.

    A row of glyphs above says which signs each unit has: + − ± 0 (singular) ? (undetermined).

    Args:
        result: a valid stored analysis.

    Raises:
        ConfigurationError: the determinant was not measured.
    """
    figure = depth(result, (DENSITY,))
    with mpl.rc_context(_STYLE):
        (axes,) = figure.axes
        above = blended_transform_factory(axes.transData, axes.transAxes)
        for place, unit in enumerate(units_of(result)):
            axes.text(place, 1.02, unit.sign_glyph, transform=above, ha="center", fontsize=11, color=_INK)
        axes.set_title("")
        figure.set_size_inches(max(4.6, 0.4 * len(units_of(result))), 3.2)
    return figure


def _draw(axes: Any, units: Sequence[ReportUnit], key: str) -> None:
    if key in _LOGARITHMIC:
        axes.set_yscale("log")
    for band in bands_for(key):
        if band.network == "d" and all(map(math.isfinite, (band.low, band.high))):
            axes.axhspan(band.low, band.high, color=_GREY, alpha=0.25, linewidth=0, zorder=0)
    if key in _LINES:
        axes.axhline(_LINES[key], color=_GREY, linewidth=0.9, linestyle="dashed", zorder=1)
    beyond = blended_transform_factory(axes.transData, axes.transAxes)
    for place, unit in enumerate(units):
        median = unit.summary(key).median
        for value, colour in _values(unit, key):
            if value is None or not is_drawable(value, log=key in _LOGARITHMIC):
                low = value is not None and is_below(value, log=key in _LOGARITHMIC)
                edge, marker = (0.02, "v") if low else (0.98, "^")
                axes.plot(place, edge, marker, color=colour, transform=beyond, markersize=4, clip_on=False)
            else:
                axes.plot(place, value, "o", color=colour, markersize=2.5, alpha=0.5, linewidth=0)
        if median is not None and is_drawable(median, log=key in _LOGARITHMIC):
            axes.plot([place - 0.35, place + 0.35], [median, median], color=_INK, linewidth=1.4)
    axes.set_xlim(-0.6, len(units) - 0.4)
    axes.set_xticks(range(len(units)), [label(unit.name) for unit in units], rotation=90, fontsize=7)
    axes.set_title(quantity(key).name)


def _values(unit: ReportUnit, key: str) -> list[tuple[float | None, str]]:
    """Return (value, colour) at each input; None for a run that did not converge."""
    stored, divide_by = unit.rows.get(key), 1
    if stored is None and key == DENSITY:
        stored, divide_by = unit.rows.get("logabsdet"), unit.record["dimension"] or 1
    signs = unit.rows.get("sign", {})
    found: list[tuple[float | None, str]] = []
    for name, row in (stored or {}).items():
        value = value_of(row, divide_by)
        if value is None and row["status"] != "not_converged":
            continue
        sign = signs[name]["value"] if name in signs else None
        colour = _INK if key != DENSITY else _BLUE if sign == 1 else _RED if sign == -1 else _GREY
        found.append((value, colour))
    return found
