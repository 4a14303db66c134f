"""The measures that compare across dimensions, and the scale on which two values are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUANTITIES", "Quantity"]

Array = NDArray[np.floating[Any]]

SMALLEST = 1e-16  # below it a positive number is rounding; its logarithm would only stretch the scale


def _logarithm(values: Array) -> Array:
    return np.log10(np.maximum(values, SMALLEST))


def _as_it_is(values: Array) -> Array:
    return values


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measure of a unit, summed up over its inputs.

    Attributes:
        name: key in the JSON.
        summary: how the values at single inputs become one number of the unit.
        meaning: one sentence for people.
        scale: the transformation after which differences are comparable.
        least_spread: spread on that scale below which references are taken to be equally far.
    """

    name: str
    summary: str
    meaning: str
    scale: Callable[[Array], Array]
    least_spread: float


QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        Quantity("negative_share", "mean", "share of inputs with det J < 0", _as_it_is, 0.05),
        Quantity("logabsdet_per_dimension", "median", "log|det J| / n", _as_it_is, 0.05),
        Quantity("sigma_min", "median", "smallest singular value of J", _logarithm, 0.05),
        # the inverse, so that "no real eigenvalue stops it" is the number 0 and not infinity
        Quantity("inverse_critical_step", "median", "1 / h*; above 1 the step is too long", _as_it_is, 0.1),
        Quantity("residual_ratio", "median", "||F(x)|| / ||x||", _logarithm, 0.05),
        Quantity(
            "inverse_consistency", "median", "||y - F(y) - x|| / ||x|| with y = x + F(x)", _logarithm, 0.05
        ),
    )
}
