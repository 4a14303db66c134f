"""A number of a unit that can be limited."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["UNLIMITED", "Limit"]

#: For `low`, of numbers that may have any sign.
UNLIMITED = -math.inf


@dataclass(frozen=True, slots=True)
class Limit:
    """Something about a unit that can be limited.

    Attributes:
        key: its name in a file; begins with `max_` or `min_`.
        quantity: the measured quantity.
        statistic: which number of a unit is held against the limit, as in the result's schema.
        default: the value that a report shows where no file sets another; None: none is shown.
        origin: where the default comes from, or why there is none.
        low: smallest value that makes sense.
        high: largest one.
        after: key of the limit behind which lists name it; None: where its measure stands in the registry.
    """

    key: str
    quantity: str
    statistic: str
    default: float | None
    origin: str
    low: float = 0.0
    high: float = math.inf
    after: str | None = None

    @property
    def bound(self) -> str:
        """Whether numbers above (`"max"`) or below (`"min"`) are beyond the limit."""
        return self.key[:3]
