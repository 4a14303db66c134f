"""A comparison of two analyses → one self-contained HTML page: a pure rendering, A is the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_diffeo_probe.analysis.result.whole_file import write_whole
from resnet_diffeo_probe.report.document import fill
from resnet_diffeo_probe.report.text.quantities import Quantity, in_order
from resnet_diffeo_probe.report.text.states import MAPS, STATES, StateWords

__all__ = ["comparison_html", "render_comparison"]

#: Inputs that a list of the page names; the others are counted, and stand in the comparison's JSON.
_MOST_NAMES = 60


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict in A and in B."""

    unit: str | None
    map_name: str
    a: StateWords
    b: StateWords


@dataclass(frozen=True, slots=True)
class Line:
    """One unit of a quantity: its two medians on a common scale from 0 to 100, and what the table says.

    Attributes:
        entry: the comparison's own row.
        at_a: place of A's median on the scale; None where it is not finite.
        at_b: the same for B.
        a: the median as it is written; so are the next two.
        b: in B.
        difference: median of B − A.
    """

    entry: Mapping[str, Any]
    at_a: float | None
    at_b: float | None
    a: str
    b: str
    difference: str


@dataclass(frozen=True, slots=True)
class ComparedMeasure:
    """A quantity in all units that have it."""

    quantity: Quantity
    lines: list[Line]
    low: str
    high: str
    moved: int


def comparison_html(comparison: Mapping[str, Any]) -> str:
    """Return a comparison as an HTML document that fetches nothing and needs no script.

    Args:
        comparison: as `analysis.compare.compare` returns it.
    """
    verdicts = [
        Change(entry["unit"], MAPS[entry["map"]][0], STATES[entry["a"]], STATES[entry["b"]])
        for entry in comparison["verdicts"]
        if entry["changed"]
    ]
    flips = comparison["sign_flips"]
    return fill(
        "compare.html.j2",
        comparison=comparison,
        changes=verdicts,
        states=[
            STATES[key] for key in STATES if any(key in (v["a"], v["b"]) for v in comparison["verdicts"])
        ],
        most=_MOST_NAMES,
        flips=[unit for unit in flips if unit["flipped"] or unit["not_certain"]],
        flipped=sum(len(unit["flipped"]) for unit in flips),
        compared=sum(unit["compared"] for unit in flips),
        measures=_measures(comparison["measures"]),
    )


def render_comparison(comparison: Mapping[str, Any], *, path: Path) -> None:
    """Write the page: to a temporary name in the same folder first, then renamed.

    Raises:
        OutputError: the file cannot be written (an older one stays as it was).
    """
    write_whole(path, comparison_html(comparison))


def _measures(entries: Sequence[Mapping[str, Any]]) -> list[ComparedMeasure]:
    return [
        _measure(quantity, [entry for entry in entries if entry["quantity"] == quantity.key])
        for quantity in in_order(entry["quantity"] for entry in entries)
    ]


def _measure(quantity: Quantity, entries: list[Mapping[str, Any]]) -> ComparedMeasure:
    medians = [_float(entry[key]) for entry in entries for key in ("median_a", "median_b")]
    finite = [value for value in medians if value is not None and abs(value) != float("inf")]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    lines = [
        Line(
            entry=entry,
            at_a=_place(_float(entry["median_a"]), low, high),
            at_b=_place(_float(entry["median_b"]), low, high),
            a=quantity.write(_float(entry["median_a"])),
            b=quantity.write(_float(entry["median_b"])),
            difference=quantity.write(_float(entry["median_difference"])),
        )
        for entry in entries
    ]
    moved = sum(bool(entry["beyond"]) for entry in entries)
    return ComparedMeasure(quantity, lines, quantity.write(low), quantity.write(high), moved)


def _float(value: float | str | None) -> float | None:
    """Return a stored number; an infinite one is stored as text."""
    return None if value is None else float(value)


def _place(value: float | None, low: float, high: float) -> float | None:
    if value is None or not low <= value <= high:
        return None
    return round(100 * (value - low) / (high - low), 2) if high > low else 50.0
