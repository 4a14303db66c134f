"""From the pixels to each depth: the Jacobians of the units' outputs, as a table and two pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.figures.panel import Column, Panel, draw_panel
from resnet_diffeo_probe.report.text.escaping import count, label, number, percent, plural, visible
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["DepthLine", "Pullback", "pullback_of"]


@dataclass(frozen=True, slots=True)
class DepthLine:
    """One line of the table, as text.

    Attributes:
        name: of the unit.
        anchor: of its details in the page.
        cells: outputs, rank, half log-determinant, smallest and largest singular value.
    """

    name: str
    anchor: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pullback:
    """The section.

    Attributes:
        input: name of the input.
        columns: "3,072 pixels", or "64 random directions of 150,528 pixels".
        reason: why fewer directions than pixels, or none; None for all pixels.
        depths: a line a unit.
        charts: title, picture, caption; none without depths.
    """

    input: str
    columns: str
    reason: str | None
    depths: list[DepthLine]
    charts: list[tuple[str, Markup, str]]


def pullback_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Pullback | None:
    """Return the section of a valid result; None where the metric was not asked for."""
    found = result.get("pullback")
    if not found:
        return None
    anchors = {unit.name: unit.anchor for unit in units}
    pixels, directions = found["pixels"], found["directions"]
    all_of_them = directions == pixels
    return Pullback(
        input=visible(found["input"]),
        columns=plural(pixels, "pixel")
        if all_of_them
        else f"{plural(directions, 'random direction')} of {plural(pixels, 'pixel')}",
        reason=found["reason"],
        depths=[
            DepthLine(visible(depth["unit"]), anchors.get(depth["unit"], "units"), _cells(depth))
            for depth in found["depths"]
        ],
        charts=_charts(found["depths"], directions) if found["depths"] else [],
    )


def _cells(depth: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (_written(depth[key]) for key in ("half_logdet", "sigma_min", "sigma_max"))
    return (count(depth["outputs"]), _rank(depth["rank"]), *numbers)


def _rank(finding: Mapping[str, Any]) -> str:
    text = count(finding["value"])
    if finding["status"] == "ok" or "interval" not in finding:
        return text
    low, high = finding["interval"]
    return f"{text} [{count(low)}, {count(high)}]"


def _written(finding: Mapping[str, Any]) -> str:
    if finding["value"] is None:
        return str(finding["status"]).replace("_", " ")
    if _is_rounding(finding):
        return f"< {number(finding['error'], 2)}"
    return number(finding["value"])


def _is_rounding(finding: Mapping[str, Any]) -> bool:
    """Return whether a singular value is not told from zero."""
    return 0 < abs(finding["value"]) <= finding.get("error", 0)


def _charts(depths: Sequence[Mapping[str, Any]], directions: int) -> list[tuple[str, Markup, str]]:
    ranks = [_column(depth, [depth["rank"]["value"]], scale=directions) for depth in depths]
    ends = [_column(depth, [_stretch(depth[key]) for key in ("sigma_min", "sigma_max")]) for depth in depths]
    first = draw_panel(
        Panel(limits=(0.0, 1.0), percent=True, bars=True, bar_colour=svg.BLUE),
        ranks,
        prefix="pullback-rank",
        alt=_alt("Rank as a share of the directions", ranks, percent),
    )
    second = draw_panel(
        Panel(log=True, spans=True),
        ends,
        prefix="pullback-sigma",
        alt=_alt("Smallest and largest singular value", ends, number),
    )
    return [
        (
            "Directions that are still told apart",
            first,
            "Rank as a share of the directions. Below 100\u00a0%: different images look alike here.",
        ),
        (
            "Least and greatest stretch",
            second,
            "Smallest and largest singular value, logarithmic. ▼: 0 within rounding.",
        ),
    ]


def _stretch(finding: Mapping[str, Any]) -> float | None:
    value: float | None = finding["value"]
    return 0.0 if value is not None and _is_rounding(finding) else value


def _column(depth: Mapping[str, Any], values: Sequence[float | None], scale: int = 1) -> Column:
    known = tuple(value / scale for value in values if value is not None)
    return Column(
        label=label(depth["unit"]),
        values=known,
        median=known[0] if len(known) == 1 else None,
        absent="" if known else "no value",
    )


def _alt(title: str, columns: Sequence[Column], write: Any) -> str:
    parts = [f"{column.label} {' to '.join(map(write, column.values)) or 'no value'}" for column in columns]
    return f"{title}, for each of {plural(len(columns), 'unit')}: {'; '.join(parts)}."
