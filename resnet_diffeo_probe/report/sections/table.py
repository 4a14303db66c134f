"""One row a unit, as a spreadsheet takes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from resnet_diffeo_probe.measures.record.measure import Shown
from resnet_diffeo_probe.report.text.escaping import visible
from resnet_diffeo_probe.report.text.quantities import shown_in
from resnet_diffeo_probe.report.text.units import ReportUnit, units_of

__all__ = ["csv_of", "units_csv"]

_COUNTS = ("positive", "negative", "zero", "undetermined", "not_run")
_MEDIANS = shown_in(Shown.CSV)
_COLUMNS = (
    "index",
    "name",
    "shortcut",
    "dimension",
    "status",
    "reason",
    "verdict_sum",
    "verdict_unit",
    *_COUNTS,
    *(f"{key}_median" for key in _MEDIANS),
    "seconds",
)
# a spreadsheet takes a cell that begins with one of these for a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "|", "%")


def units_csv(result: Mapping[str, Any]) -> str:
    """Return the units as CSV: name, verdicts, counts of signs, medians of the measured quantities.

    Numbers have full precision; a missing one is an empty cell, an infinite median is `inf` or `-inf`. Names
    cannot become formulas in a spreadsheet: one that would begins with an apostrophe instead.

    Args:
        result: a valid stored analysis.
    """
    return csv_of(units_of(result))


def csv_of(units: Iterable[ReportUnit]) -> str:
    """Return the same for units that were gathered already."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(map(_row, units))
    return lines.getvalue()


def _row(unit: ReportUnit) -> list[str]:
    record = unit.record
    counts: Mapping[str, int] = unit.counts or {}
    cells = [
        _exact(record["index"]),
        _inert(unit.name),
        record["shortcut"],
        _exact(record["dimension"]),
        record["status"],
        _inert(record["reason"] or ""),
        *(verdict.state.key for verdict in unit.verdicts),
    ]
    cells += [_exact(counts.get(key)) for key in _COUNTS]
    cells += [_exact(unit.summary(key).median) for key in _MEDIANS]
    return [*cells, _exact(record["seconds"])]


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)


def _inert(text: str) -> str:
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
