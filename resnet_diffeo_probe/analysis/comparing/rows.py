"""One quantity of one unit in two analyses, input by input: how far it moved, and whether beyond its error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Moved", "holm", "moved", "sign_test"]

Row = Mapping[str, Any]
_INFINITE = {"infinite": math.inf, "singular": -math.inf}
_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23}


@dataclass(frozen=True, slots=True)
class Moved:
    """How a quantity of a unit differs between A and B over the inputs that both have a number for.

    Attributes:
        pairs: how many such inputs there are.
        unpaired: inputs of both at which one has no number.
        median_a: median over the pairs; may be infinite, as may the next two. None where it is not defined.
        median_b: the same in B.
        median_difference: median of B − A.
        beyond: pairs whose intervals do not overlap; None where no pair has an error.
        judged: pairs of which both numbers have an error, so that they could be.
        increased: of the pairs that differ (beyond their error where it is known) those where B is larger.
        decreased: those where B is smaller.
    """

    pairs: int
    unpaired: int
    median_a: float | None
    median_b: float | None
    median_difference: float | None
    beyond: int | None
    judged: int
    increased: int
    decreased: int

    @property
    def p(self) -> float | None:
        """The sign test's p-value; None where no pair differs."""
        return sign_test(self.increased, self.decreased)


def moved(of_a: Mapping[str | None, Row], of_b: Mapping[str | None, Row]) -> Moved | None:
    """Compare the rows of one unit and quantity, by input; None where there is no pair of numbers.

    A number's error is its interval, else its error, else (a direct or proven number without either) the square root of
    the rounding unit of its arithmetic, relative to it: half of its digits. An estimate without error has none.
    """
    shared = [name for name in of_a if name in of_b]
    pairs = [
        (va, vb, of_a[name], of_b[name])
        for name in shared
        if (va := _number(of_a[name])) is not None and (vb := _number(of_b[name])) is not None
    ]
    if not pairs:
        return None
    beyond = judged = increased = decreased = 0
    for va, vb, row_a, row_b in pairs:
        interval_a, interval_b = _interval(va, row_a), _interval(vb, row_b)
        differs = va != vb
        if interval_a is not None and interval_b is not None:
            judged += 1
            differs = interval_a[1] < interval_b[0] or interval_b[1] < interval_a[0]
            beyond += differs
        if differs:
            increased += vb > va
            decreased += vb < va
    return Moved(
        pairs=len(pairs),
        unpaired=len(shared) - len(pairs),
        median_a=_median([pair[0] for pair in pairs]),
        median_b=_median([pair[1] for pair in pairs]),
        median_difference=_median([0.0 if va == vb else vb - va for va, vb, _, _ in pairs]),
        beyond=beyond if judged else None,
        judged=judged,
        increased=increased,
        decreased=decreased,
    )


def sign_test(increased: int, decreased: int) -> float | None:
    """Return the exact two-sided p-value of the sign test: of a fair coin being at least this uneven.

    Ties are left out. None where nothing differs. Source: Conover, Practical Nonparametric Statistics, section 3.4.
    """
    trials = increased + decreased
    if not trials:
        return None
    # from each binomial coefficient the next: of thousands of inputs each by itself would take seconds
    coefficient = tail = 1
    for k in range(min(increased, decreased)):
        coefficient = coefficient * (trials - k) // (k + 1)
        tail += coefficient
    return min(1.0, 2 * tail / 2**trials)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted for their number by Holm's step-down method; None stays and is not counted.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = largest
    return adjusted


def _number(row: Row) -> float | None:
    if row["value"] is not None:
        return float(row["value"])
    return _INFINITE.get(row["status"])


def _interval(value: float, row: Row) -> tuple[float, float] | None:
    if math.isinf(value):
        return value, value
    if (interval := row.get("interval")) is not None:
        return interval[0], interval[1]
    error = row.get("error")
    if error is None:
        if row["evidence"] == "estimated":
            return None
        error = math.sqrt(_EPSILON.get(row.get("dtype", "float64"), _EPSILON["float32"])) * abs(value)
    return value - error, value + error


def _median(values: Sequence[float]) -> float | None:
    found = median(values)  # of an even number that ends on +∞ and −∞ it is not defined
    return None if math.isnan(found) else found
