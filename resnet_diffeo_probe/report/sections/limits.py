"""The limits that the run held its numbers against, and which unit has a number beyond one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.analysis.comparing.thresholds import (
    LIMITS,
    Limit,
    Threshold,
    limit_of,
    stored_thresholds,
)
from resnet_diffeo_probe.report.text.quantities import DENSITY, quantity
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["Held", "LimitShown", "Limits", "limits_of"]

# Where the table shows what is limited, by quantity and statistic.
_SHARES = {"negative_share": "negative", "undetermined_share": "undetermined"}
_SYMBOLS = {"negative": Markup("share det <i>J</i> &lt; 0"), "undetermined": Markup("share undetermined")}


@dataclass(frozen=True, slots=True)
class LimitShown:
    """One limit, as it was used or as a reader may set it.

    Attributes:
        place: its number in the page.
        key: in a thresholds file.
        quantity: that it limits.
        column: of the unit table.
        symbol: of what is limited.
        bound: `"max"` or `"min"`.
        statistic: which number of a unit is held against it.
        value: the number as used; None where the run had no limit.
        written: the number as the report writes numbers.
        units: the pattern of units that it is for; None for all.
        origin: where the number comes from.
        set_by: `"default"` or `"file"`.
    """

    place: int
    key: str
    quantity: str
    column: str
    symbol: Markup
    bound: str
    statistic: str
    value: float | None
    written: str
    units: str | None
    origin: str
    set_by: str

    @property
    def sign(self) -> str:
        """Return the relation that a number within the limit has to it."""
        return "≤" if self.bound == "max" else "≥"


@dataclass(frozen=True, slots=True)
class Held:
    """What the table says of one cell.

    Attributes:
        low: the least number of the unit, or the share.
        high: the greatest one.
        places: numbers of the limits that speak of the cell.
        beyond: an icon and words for each limit that a number lies beyond.
    """

    low: str
    high: str
    places: str
    beyond: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a page.

    Attributes:
        shown: those that the run used, then those that a reader may set.
        cells: by anchor of the unit and column.
    """

    shown: list[LimitShown]
    cells: Mapping[tuple[str, str], Held]

    @property
    def used(self) -> list[LimitShown]:
        """Return those that the run used."""
        return [limit for limit in self.shown if limit.value is not None]

    def of(self, quantities: Sequence[str]) -> list[LimitShown]:
        """Return those that the run used for some quantities."""
        return [limit for limit in self.used if limit.quantity in quantities]

    def cell(self, unit: ReportUnit, column: str) -> Held | None:
        """Return what is said of a cell; None where nothing limits it."""
        return self.cells.get((unit.anchor, column))


def limits_of(
    result: Mapping[str, Any], units: Sequence[ReportUnit], columns: Sequence[str]
) -> Limits | None:
    """Return the limits of a valid result; None where it was made without.

    Args:
        result: as stored.
        units: its units.
        columns: quantities that the unit table shows.
    """
    if "thresholds" not in result:
        return None
    thresholds = stored_thresholds(result)
    columns = [*columns, *_SHARES.values()]
    shown = [_shown(place, threshold) for place, threshold in enumerate(thresholds)]
    set_ = {threshold.limit.key for threshold in thresholds if threshold.units is None}
    free = [limit for limit in LIMITS.values() if limit.key not in set_ and _column(limit) in columns]
    shown += [
        _shown(len(shown) + place, Threshold(limit, None, origin=limit.origin))
        for place, limit in enumerate(free)
    ]
    cells: dict[tuple[str, str], Held] = {}
    for unit in units:
        for column in columns:
            if held := _held(unit, column, thresholds, shown):
                cells[unit.anchor, column] = held
    return Limits(shown, cells)


def _column(limit: Limit) -> str:
    if limit.statistic in _SHARES:
        return _SHARES[limit.statistic]
    return DENSITY if limit.statistic.endswith("per_dimension") else limit.quantity


def _shown(place: int, threshold: Threshold) -> LimitShown:
    limit, column = threshold.limit, _column(threshold.limit)
    known = quantity(column)
    return LimitShown(
        place=place,
        key=limit.key,
        quantity=limit.quantity,
        column=column,
        symbol=_SYMBOLS.get(column, known.symbol),
        bound=limit.bound,
        statistic=limit.statistic.split("_")[0],
        value=threshold.value,
        written=known.write(threshold.value),
        units=threshold.units,
        origin=threshold.origin,
        set_by=threshold.set_by,
    )


def _held(
    unit: ReportUnit, column: str, thresholds: Sequence[Threshold], shown: Sequence[LimitShown]
) -> Held | None:
    low, high = _extremes(unit, column)
    if low is None or high is None:
        return None
    places, beyond = [], []
    for entry in shown:
        if entry.column != column:
            continue
        valid = limit_of(thresholds, entry.key, unit.name)
        # of several entries of a key the one that holds for this unit; one without a value is the reader's
        if entry.place < len(thresholds) and thresholds[entry.place] is not valid:
            continue
        places.append(entry.place)
        number = high if entry.bound == "max" else low
        if entry.value is not None and (
            number > entry.value if entry.bound == "max" else number < entry.value
        ):
            word = "above" if entry.bound == "max" else "below"
            beyond.append(("▲" if entry.bound == "max" else "▼", f"{word} the limit {entry.written}"))
    return Held(repr(low), repr(high), " ".join(map(str, places)), beyond) if places else None


def _extremes(unit: ReportUnit, column: str) -> tuple[float | None, float | None]:
    if column in _SHARES.values():
        if not unit.signs or unit.counts is None:
            return None, None
        share = unit.counts[column] / unit.signs
        return share, share
    summary = unit.summary(column)
    low, high = summary.low, summary.high
    return (None, None) if low is None or high is None or math.isnan(low) else (float(low), float(high))
