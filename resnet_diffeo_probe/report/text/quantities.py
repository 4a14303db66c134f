"""How the numbers of each measured quantity are written, and which of them a table shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from resnet_diffeo_probe.measures.determinant import DENSITY
from resnet_diffeo_probe.measures.record.measure import Measure, Shown
from resnet_diffeo_probe.measures.registry import SHOWN
from resnet_diffeo_probe.report.text.escaping import MINUS, number, percent

__all__ = ["DENSITY", "QUANTITIES", "Quantity", "in_order", "quantity", "shown_in", "table_columns"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity.

    Attributes:
        key: its name in `result.json`.
        symbol: HTML for the head of a column.
        name: in words.
        kind: `"number"`, `"share"` (written as a percentage) or `"sign"`.
    """

    key: str
    symbol: Markup
    name: str
    kind: str = "number"

    def write(self, value: float | None, digits: int = 4) -> str:
        """Return the value as the report writes it."""
        if self.kind == "share":
            return percent(value, digits)
        if self.kind == "sign" and value in (1, -1):
            return "+" if value == 1 else MINUS
        return number(value, digits)

    def write_range(self, low: float | None, high: float | None, digits: int = 4) -> str:
        """Return `[low, high]` as the report writes it."""
        if self.kind == "share" and low is not None and high is not None:
            # the sign of per cent once, behind the bracket
            return f"[{number(100 * low, digits)}, {number(100 * high, digits)}]\u00a0%"
        return f"[{self.write(low, digits)}, {self.write(high, digits)}]"


#: By key, in the order of tables.
QUANTITIES: dict[str, Quantity] = {
    measure.key: Quantity(measure.key, measure.symbol, measure.words, measure.unit) for measure in SHOWN
}


def quantity(key: str) -> Quantity:
    """Return what is known about a quantity; one that is not known is called by its key."""
    words = key.replace("_", " ")
    return QUANTITIES.get(key) or Quantity(key, Markup.escape(words), words)


def in_order(keys: Iterable[str]) -> list[Quantity]:
    """Return quantities in the order of the table above, then the unknown ones by name."""
    place = {key: index for index, key in enumerate(QUANTITIES)}
    return [quantity(key) for key in sorted(set(keys), key=lambda key: (place.get(key, len(place)), key))]


def shown_in(place: Shown) -> tuple[str, ...]:
    """Return the quantities that have a place of their own somewhere, in the order of tables."""
    return tuple(measure.key for measure in SHOWN if place in measure.shown)


def table_columns(measured: Collection[str]) -> list[Quantity]:
    """Return the quantities of the table of units: of those that one criterion speaks of the most telling one.

    Args:
        measured: quantities that the result has rows of.
    """
    columns: dict[str, list[Measure]] = {}
    for measure in SHOWN:
        if Shown.TABLE in measure.shown and {measure.key, measure.per_dimension_of} & set(measured):
            columns.setdefault(measure.criterion.key if measure.criterion else measure.key, []).append(
                measure
            )
    return [quantity(min(same, key=_telling).key) for same in columns.values()]


def _telling(measure: Measure) -> int:
    return measure.criterion.quantities.index(measure.key) if measure.criterion else 0
