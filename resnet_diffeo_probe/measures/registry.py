"""Every measure, a line each, and what follows from the records together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

from resnet_diffeo_probe.measures import (
    certified_radius,
    clipping,
    determinant,
    eigenvalues,
    inverse_error,
    power_series,
    rectangular,
    residual_ratio,
    singular_values,
)
from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Cost, Measure, Of
from resnet_diffeo_probe.measures.record.method import MethodSentence

__all__ = [
    "CHARTS",
    "CRITERIA",
    "LIMITS",
    "MEASURES",
    "METHODS",
    "SHOWN",
    "function_of",
    "functions_of",
    "keys_of",
]

#: In the order in which the rows of a result are stored.
MEASURES: tuple[Measure, ...] = (
    determinant.SIGN,
    determinant.LOGABSDET,
    determinant.LOGABSDET_PER_DIMENSION,
    determinant.SIGN_MARGIN,
    singular_values.SIGMA_MIN,
    singular_values.SIGMA_MAX,
    singular_values.CONDITION,
    eigenvalues.LEFTMOST_REAL_EIGENVALUE,
    eigenvalues.CRITICAL_STEP,
    eigenvalues.REAL_EIGENVALUES_BELOW_MINUS_ONE,
    power_series.LOGABSDET_POWER_SERIES,
    residual_ratio.RESIDUAL_RATIO,
    clipping.CLIPPED_FRACTION,
    clipping.CLIPPED_DEPTH,
    rectangular.RECTANGULAR_RANK,
    rectangular.RECTANGULAR_HALF_LOGDET,
    rectangular.RECTANGULAR_SIGMA_MIN,
    rectangular.RECTANGULAR_SIGMA_MAX,
    inverse_error.INVERSE_ERROR,
    inverse_error.INVERSE_ERROR_EULER,
    inverse_error.INVERSE_ERROR_FIXED_POINT,
    inverse_error.INVERSE_ERROR_EXACT,
    certified_radius.CERTIFIED_RADIUS_L2,
    certified_radius.CERTIFIED_RADIUS_LINF,
)


class _Placed(Protocol):
    """Something with a key that may ask to stand behind another one."""

    @property
    def key(self) -> str: ...

    @property
    def after(self) -> str | None: ...


_Any = TypeVar("_Any", bound=_Placed)


def _in_place(found: Iterable[_Any | None]) -> tuple[_Any, ...]:
    """Return what was found, each once, in the order of the registry but for those that stand behind another one."""
    every = {item.key: item for item in found if item is not None}

    def with_followers(item: _Any) -> list[_Any]:
        followers = (other for other in every.values() if other.after == item.key)
        return [item, *(placed for follower in followers for placed in with_followers(follower))]

    placed = [one for item in every.values() if item.after is None for one in with_followers(item)]
    if lost := every.keys() - {item.key for item in placed}:
        raise ValueError(f"nothing stands where these want to follow: {', '.join(sorted(lost))}")
    return tuple(placed)


#: In the order of tables; the next ones in the order in which pages and lists have them, each once.
SHOWN: tuple[Measure, ...] = _in_place(MEASURES)
CRITERIA: tuple[Criterion, ...] = _in_place(measure.criterion for measure in MEASURES)
METHODS: tuple[MethodSentence, ...] = _in_place(measure.method for measure in MEASURES)
LIMITS: tuple[Limit, ...] = _in_place(limit for measure in MEASURES for limit in measure.limits)
CHARTS: tuple[DepthChart, ...] = _in_place(chart for measure in MEASURES for chart in measure.charts)


def keys_of(*of: Of, function: str | None = None, cost: Iterable[Cost] | None = None) -> tuple[str, ...]:
    """Return the keys of measures, in the order in which they are stored.

    Args:
        of: what they are of.
        function: that finds them; None for any.
        cost: that they may have; None for any.
    """
    costs = set(Cost if cost is None else cost)
    return tuple(
        measure.key
        for measure in MEASURES
        if measure.of in of and measure.cost in costs and function in (None, measure.function)
    )


def functions_of(keys: Iterable[str], *of: Of) -> list[Callable[..., Any]]:
    """Return the functions that find some measures, each once, in the order of the registry.

    Args:
        keys: of the measures; others are passed over.
        of: what they are of.
    """
    wanted = set(keys)
    names = dict.fromkeys(m.function for m in MEASURES if m.key in wanted and m.of in of)
    return [function_of(name) for name in names]


@cache
def function_of(name: str) -> Callable[..., Any]:
    """Return the function of a place `module:name`."""
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    return function
