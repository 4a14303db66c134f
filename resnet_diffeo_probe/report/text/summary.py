"""Medians and extremes of stored rows; infinite values keep their place in the order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Summary", "summarise", "value_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of one quantity of one unit.

    Attributes:
        values: every value in the order of the rows; an infinite one is `math.inf` or `-math.inf`.
        missing: rows without a value.
        evidence: how the values are known, in order of first appearance.
        statuses: how often each status other than `ok` occurs.
    """

    values: tuple[float, ...] = ()
    missing: int = 0
    evidence: tuple[str, ...] = ()
    statuses: tuple[tuple[str, int], ...] = ()

    @property
    def median(self) -> float | None:
        """Return the median, infinite where the middle is; None without values."""
        if not self.values:
            return None
        middle = statistics.median(self.values)
        # half -inf, half +inf: there is no middle
        return None if math.isnan(middle) else middle

    @property
    def low(self) -> float | None:
        """Return the smallest value."""
        return min(self.values, default=None)

    @property
    def high(self) -> float | None:
        """Return the largest value."""
        return max(self.values, default=None)


def value_of(row: Row, divide_by: int = 1) -> float | None:
    """Return the value of a row on the extended real line, None where there is none.

    `singular` without a value is log|det| = −∞, `infinite` without a value is a critical step of +∞.
    """
    value: float | None = row["value"]
    if value is not None:
        return value / divide_by if divide_by != 1 else value
    if row["status"] == "singular":
        return -math.inf
    return math.inf if row["status"] == "infinite" else None


def summarise(rows: Iterable[Row], divide_by: int = 1) -> Summary:
    """Return the summary of rows of one quantity, values divided by a number."""
    values: list[float] = []
    evidence: dict[str, None] = {}
    statuses: dict[str, int] = {}
    missing = 0
    for row in rows:
        value = value_of(row, divide_by)
        if value is None:
            missing += 1
        else:
            values.append(value)
            evidence[row["evidence"]] = None
        if row["status"] != "ok":
            statuses[row["status"]] = statuses.get(row["status"], 0) + 1
    return Summary(tuple(values), missing, tuple(evidence), tuple(statuses.items()))
