"""How a measure is compared with that of the units of the spiral networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Reference"]


def _as_it_is(value: float, dimension: int) -> float:
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A number of a unit that compares across dimensions.

    Attributes:
        key: its name among the references, and in `references` of a result.
        summary: how the values at single inputs become one number of the unit: `"mean"` or `"median"`.
        meaning: one sentence for people.
        symbol: HTML for the head of a column.
        log: whether differences are comparable between logarithms.
        least_spread: spread on that scale below which references are taken to be equally far.
        of_value: (value of a row, dimension n) -> the number that is compared, where it is not inverted.
        inverted: whether that number is one over the measure's: 0 where it is infinite, none where it is not above 0.
    """

    key: str
    summary: str
    meaning: str
    symbol: Markup
    log: bool = False
    least_spread: float = 0.05
    of_value: Callable[[float, int], float] = _as_it_is
    inverted: bool = False
