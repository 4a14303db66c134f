"""One unit in detail: its facts, its quantities, and every row that is stored."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.report.text.escaping import count, duration, number, plural, shape
from resnet_diffeo_probe.report.text.quantities import Quantity, in_order
from resnet_diffeo_probe.report.text.summary import Summary, value_of
from resnet_diffeo_probe.report.text.units import ReportUnit, ReportVerdict

__all__ = ["Cell", "Detail", "basis_of", "detail_of", "plain"]

Row = Mapping[str, Any]
_PLAN_FIRST = ("method", "cut")
#: Kinds of reasons that are listed for a unit.
_MOST_NOTES = 40
_NUMBER = re.compile(r"-?\d[\d.,]*(?:e[+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Cell:
    """One stored row as written: the value with a mark for how it is known, and what else there is to say."""

    text: str
    note: str = ""
    spread: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """One unit in detail.

    Attributes:
        unit: the unit.
        is_open: shown without being asked for.
        facts: names and values about the unit and its plan.
        evidence: per verdict, what it rests on, as names and values.
        summaries: a line a quantity.
        quantities: the columns of the table of inputs: those that apply to the unit.
        inputs: a row an input: its name, its label, its cells.
        left_out: inputs that have no row in the page, for its size.
        notes: reasons that stand in rows, with how many rows have each; those that differ in numbers alone are one.
    """

    unit: ReportUnit
    is_open: bool
    facts: list[tuple[str, str]]
    evidence: list[tuple[ReportVerdict, list[tuple[str, str]]]]
    summaries: list[tuple[Quantity, Summary]]
    quantities: list[Quantity]
    inputs: list[tuple[str, str | None, list[Cell]]]
    left_out: int
    notes: list[str]


def detail_of(unit: ReportUnit, inputs: Mapping[str, Any], *, is_open: bool, most_inputs: int) -> Detail:
    """Return a unit in detail.

    Args:
        unit: the unit.
        inputs: `inputs` of the result.
        is_open: show it without being asked.
        most_inputs: rows in the table of inputs; the rest is left to `result.json`, and counted.
    """
    quantities = in_order(unit.rows)
    columns = [quantity for quantity in quantities if not _never_applies(unit.rows[quantity.key])]
    names: list[str] = inputs["names"]
    labels: list[str | None] = inputs["labels"] or [None] * len(names)
    present = set().union(*unit.rows.values())
    planned = unit.record["planned"] >= len(names)
    listed: list[tuple[str, str | None, str | None]] = [
        (name, label, name)
        for name, label in zip(names, labels, strict=True)
        # an input that was planned and has no row is a row of dashes, not a gap
        if columns and (planned or name in present)
    ]
    if None in present and columns:
        listed.insert(0, ("(every input)", None, None))
    return Detail(
        unit=unit,
        is_open=is_open,
        facts=_facts(unit),
        evidence=[(verdict, basis_of(verdict)) for verdict in unit.verdicts],
        summaries=[(quantity, unit.summary(quantity.key)) for quantity in quantities],
        quantities=columns,
        inputs=[
            (shown, label, [_cell(quantity, unit.rows[quantity.key].get(name)) for quantity in columns])
            for shown, label, name in listed[:most_inputs]
        ],
        left_out=max(0, len(listed) - most_inputs),
        notes=_notes(unit),
    )


def _never_applies(rows: Mapping[str | None, Row]) -> bool:
    """Return whether no row could have a value: the line of the summary then says all there is to say."""
    return all(row["status"] == "not_applicable" for row in rows.values())


def _facts(unit: ReportUnit) -> list[tuple[str, str]]:
    record = unit.record
    plan = record["plan"] or {}
    planned = [key for key in _PLAN_FIRST if plan.get(key) is not None] + sorted(set(plan) - set(_PLAN_FIRST))
    return [
        ("shortcut", record["shortcut"]),
        ("activation after the addition", record["activation"] or "none"),
        ("shape", f"{shape(record['input_shape'])} → {shape(record['output_shape'])}"),
        ("dimension n", count(record["dimension"])),
        ("inputs", f"{count(record['done'])} of {count(record['planned'])} done"),
        *((key.replace("_", " "), plain(plan[key])) for key in planned),
        ("time", duration(record["seconds"])),
    ]


def basis_of(verdict: ReportVerdict) -> list[tuple[str, str]]:
    """Return what a verdict rests on as names and values, both text."""
    evidence = dict(verdict.evidence)
    named = evidence.pop("inputs", [])
    basis = [("inputs", _some(named))] if named else []
    return basis + [(key.replace("_", " "), plain(value)) for key, value in sorted(evidence.items())]


def _some(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def plain(value: Any) -> str:
    """Return a stored value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(map(plain, value))
    return json.dumps(value, ensure_ascii=False)


def _cell(quantity: Quantity, row: Row | None) -> Cell:
    if row is None:
        return Cell(number(None))
    value, status = value_of(row), row["status"]
    # the status says more than the symbol, except where the symbol is the whole story
    note = (
        ""
        if status in ("ok", "infinite") or (status == "singular" and value == 0)
        else status.replace("_", " ")
    )
    if value is None:
        return Cell(note or number(None))
    estimated = row["evidence"] == "estimated" and row["value"] is not None
    spread = _spread(quantity, row) if estimated else _rounding(row)
    return Cell(("≈" if estimated else "") + quantity.write(value), note, spread)


def _rounding(row: Row) -> str:
    """Return how far rounding may have moved a value of a direct method, where that was bounded."""
    if row["evidence"] != "exact" or row["value"] is None or "interval" not in row:
        return ""
    low, high = row["interval"]
    return f"± {number((high - low) / 2, 2)}"


def _spread(quantity: Quantity, row: Row) -> str:
    if "interval" in row:
        low, high = row["interval"]
        return f"[{quantity.write(low)}, {quantity.write(high)}]"
    return f"± {number(row['error'], 2)}" if "error" in row else ""


def _notes(unit: ReportUnit) -> list[str]:
    # reasons that differ in their numbers alone are one, told as it stands in its first row
    alike: dict[tuple[str, str], Counter[str]] = {}
    for key, rows in unit.rows.items():
        for row in rows.values():
            if reason := row.get("reason"):
                alike.setdefault((key, _NUMBER.sub("0", reason)), Counter())[reason] += 1
    # the most frequent ones, in the order in which they first stood
    kept = set(sorted(alike, key=lambda place: -alike[place].total())[:_MOST_NOTES])
    notes = [
        f"{key.replace('_', ' ')}, {plural(reasons.total(), 'row')}"
        f"{' with numbers of their own, the first' if len(reasons) > 1 else ''}: {next(iter(reasons))}"
        for (key, general), reasons in alike.items()
        if (key, general) in kept
    ]
    if left := len(alike) - len(kept):
        others = sum(reasons.total() for place, reasons in alike.items() if place not in kept)
        notes.append(f"{plural(left, 'other reason')} in {plural(others, 'row')}, which result.json has")
    return notes
