"""Small multiples over the units of a network: one panel a quantity, the same horizontal axis on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.measure import Measure
from resnet_diffeo_probe.measures.registry import CHARTS, MEASURES
from resnet_diffeo_probe.report.figures.bands import Band, bands_for, words
from resnet_diffeo_probe.report.figures.panel import Column, Panel, draw_panel, has_dashes
from resnet_diffeo_probe.report.text.escaping import label, number, percent, plural, visible
from resnet_diffeo_probe.report.text.quantities import DENSITY
from resnet_diffeo_probe.report.text.summary import value_of
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["Chart", "depth_charts"]


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel, drawn, with its words."""

    key: str
    title: Markup
    svg: Markup
    caption: str
    criterion: str
    has_bands: bool
    #: bars that hold most of the inputs take the place of a dash for each
    is_condensed: bool


def depth_charts(units: Sequence[ReportUnit], *, references: bool = False) -> list[Chart]:
    """Return the charts of the quantities that were measured, in the order of the report.

    Args:
        units: in network order.
        references: draw where the units of spiral networks lie, for the quantities that compare.
    """
    charts = []
    for plan in CHARTS:
        panel = _PANELS[plan.key]
        columns = [_column(unit, plan) for unit in units]
        # runs that all diverged are a picture of marks, not a gap
        if not any(column.values or column.diverged for column in columns):
            continue
        bands = bands_for(plan.key) if references else ()
        alt = _alt(plan, units, columns, bands)
        svg = draw_panel(panel, columns, prefix=f"depth-{plan.key}", alt=alt, bands=bands)
        condensed = not plan.bars and not has_dashes(columns)
        chart = Chart(plan.key, plan.title, svg, plan.caption, plan.criterion, bool(bands), condensed)
        charts.append(chart)
    return charts


def _panel(measure: Measure, plan: DepthChart) -> Panel:
    return Panel(
        log=measure.log,
        line=measure.line if plan.has_line else None,
        limits=plan.limits,
        floor=plan.floor,
        percent=plan.percent,
        bars=plan.bars,
        by_sign=plan.signed,
        signs=plan.signed,
    )


_PANELS = {plan.key: _panel(measure, plan) for measure in MEASURES for plan in measure.charts}


def _column(unit: ReportUnit, plan: DepthChart) -> Column:
    summary = unit.summary(plan.key)
    values, median = summary.values, summary.median
    if plan.key == "negative_share":
        median = unit.negative_share
        values = () if median is None else (median,)
    diverged = plan.diverges and any(status == "not_converged" for status, _ in summary.statuses)
    return Column(
        label=label(unit.name),
        values=values,
        median=median,
        signs=_signs(unit) if plan.signed else (),
        glyph=unit.sign_glyph if plan.signed else "",
        absent=_absence(unit, diverged=diverged) if not values else "",
        diverged=diverged,
    )


def _absence(unit: ReportUnit, *, diverged: bool) -> str:
    if diverged:
        return "not converged"
    return "n/a" if unit.record["status"] == "not_applicable" else "not run" if not unit.rows else "no value"


def _signs(unit: ReportUnit) -> tuple[int, ...]:
    """Return the sign that belongs to each value of log|det|; 0 where it is not certain."""
    signs = unit.rows.get("sign", {})
    stored = unit.rows.get("logabsdet", {}) or unit.rows.get(DENSITY, {})
    kept = [key for key, row in stored.items() if value_of(row) is not None]
    return tuple(int(signs[key]["value"] or 0) if key in signs else 0 for key in kept)


def _alt(
    plan: DepthChart, units: Sequence[ReportUnit], columns: Sequence[Column], bands: Sequence[Band]
) -> str:
    write = percent if plan.percent else number
    parts = []
    for unit, column in zip(units, columns, strict=True):
        name = visible(unit.name)
        if not column.values:
            parts.append(f"{name} {column.absent}")
            continue
        text = f"{name} {column.glyph} {write(column.median)}".replace("  ", " ")
        if len(column.values) > 1:
            text += f" [{write(min(column.values))}, {write(max(column.values))}]"
        infinite = sum(map(math.isinf, column.values))
        text += f", {infinite} infinite" if infinite else ""
        parts.append(f"{text}, not all converged" if column.diverged else text)
    title = plan.title.striptags()
    kind = "value" if plan.bars else "median [least, greatest]"
    return (
        f"{title}, {kind} for each of {plural(len(units), 'unit')}: {'; '.join(parts)}.{words(bands, write)}"
    )
