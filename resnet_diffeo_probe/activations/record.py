"""What is known of one function of a real number, its arguments bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Activation", "Constant"]


class Constant(NamedTuple):
    """A closed interval, possibly unbounded, on which a function has one value."""

    low: float
    high: float
    value: float


@dataclass(frozen=True)
class Activation:
    """A function with its arguments, applied to every coordinate alone.

    It is the function that torch documents. Where torch switches to another formula, or keeps a constant in float32,
    that counts as rounding as long as it changes no value by more than float32's rounding (2⁻²⁴ of it); a larger change
    is part of the function. None says *unknown*, never "no": whoever asks has to do without an answer.

    Attributes:
        name: of the torch function, e.g. `"leaky_relu"`.
        arguments: all of them, defaults filled in; numbers, None, words, or one tuple of numbers, one a channel.
        display: the name for people, torch's own of the module where there is one, e.g. `"ReLU"`.
        label: `name`, with the arguments where these make it another function than the name says.
        continuous: on all of ℝ.
        kinks: all points where the function or its derivative jumps, ascending. None if the function is unknown.
        slopes: (least, greatest) bounds of (f(a) − f(b))/(a − b) over all a ≠ b, hence of the derivative too. Infinite
            where there is no bound.
        curvature: a Lipschitz constant of the derivative on ℝ, hence a bound of |f''|. None where the derivative jumps
            or no bound is known.
        injective: on ℝ.
        constants: where it is constant: the maximal intervals.
        piecewise_linear: continuous, and linear between its kinks.
        source: what the numbers follow from.
    """

    name: str
    arguments: tuple[object, ...] = ()
    display: str = ""
    label: str = ""
    continuous: bool | None = None
    kinks: tuple[float, ...] | None = None
    slopes: tuple[float, float] | None = None
    curvature: float | None = None
    injective: bool | None = None
    constants: tuple[Constant, ...] | None = None
    piecewise_linear: bool | None = None
    source: str = ""

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return self.kinks is not None

    @property
    def steepest(self) -> float | None:
        """A Lipschitz constant; None where none is known."""
        if self.slopes is None:
            return None
        bound = max(abs(self.slopes[0]), abs(self.slopes[1]))
        return bound if math.isfinite(bound) else None

    @property
    def clips(self) -> bool | None:
        """Whether it sets whole intervals to a constant."""
        return None if self.constants is None else bool(self.constants)

    @property
    def clips_negative(self) -> bool:
        """Whether all negative numbers are known to have one image."""
        return any(c.low == -math.inf and c.high >= 0 for c in self.constants or ())

    @property
    def unclipped(self) -> tuple[float, float] | None:
        """The interval between its constant ends; None where no end is known to be constant."""
        low = max((c.high for c in self.constants or () if c.low == -math.inf), default=-math.inf)
        high = min((c.low for c in self.constants or () if c.high == math.inf), default=math.inf)
        return None if (low, high) == (-math.inf, math.inf) else (low, high)

    @property
    def slopes_as_given(self) -> bool:
        """Whether it is piecewise linear with slopes that are 0, ±1 or its own arguments: numbers nobody rounded."""
        if not self.piecewise_linear or self.slopes is None:
            return False
        given = {0.0, 1.0, -1.0}
        for argument in self.arguments:
            if isinstance(argument, tuple):
                given.update(argument)
            elif isinstance(argument, (int, float)):
                given.add(float(argument))
        return given.issuperset(self.slopes)
