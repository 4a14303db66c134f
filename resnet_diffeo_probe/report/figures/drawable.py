"""Which numbers a picture shows at their place, and at which edge it marks the others."""

from __future__ import annotations

__all__ = ["LARGEST", "SMALLEST", "clamped", "is_above", "is_below", "is_drawable"]

#: From here on a number is marked at an edge as an infinite one is: with floats near 1e308 a picture's own arithmetic,
#: its margins and its ticks, would overflow. The tables have every number in full.
LARGEST = 1e100
#: On a logarithm a positive number up to this is marked as zero is.
SMALLEST = 1e-100


def clamped(value: float) -> float:
    """Return the number nearest to this one that a linear axis can hold: for bars and ticks that are drawn anyway."""
    return min(max(value, -LARGEST), LARGEST)


def is_above(value: float) -> bool:
    """Return whether a number is marked at the upper edge."""
    return value >= LARGEST


def is_below(value: float, *, log: bool) -> bool:
    """Return whether a number is marked at the lower edge."""
    return value <= (SMALLEST if log else -LARGEST)


def is_drawable(value: float, *, log: bool) -> bool:
    """Return whether a number is shown at its place; one that is not a number is shown nowhere."""
    return (SMALLEST if log else -LARGEST) < value < LARGEST
