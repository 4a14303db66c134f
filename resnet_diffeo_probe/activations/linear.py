"""Functions that are linear between kinks; the shrinkages and thresholds that jump stand with them.

Slopes are those of the pieces: of a continuous piecewise linear function every secant's slope is a mean of them.
"""

from __future__ import annotations

import math
from typing import Any

from resnet_diffeo_probe.activations.family import Family, Parameter, is_number
from resnet_diffeo_probe.activations.record import Activation, Constant

__all__ = ["FAMILIES"]

_INF = math.inf
_PIECES = "the slopes of its pieces"


def _linear(
    kinks: tuple[float, ...], slopes: tuple[float, ...], *, constants: tuple[Constant, ...] = ()
) -> Activation:
    """Return a continuous piecewise linear function by its kinks and the slopes between them, from left to right."""
    injective = all(s > 0 for s in slopes) or all(s < 0 for s in slopes)
    return Activation(
        "",
        continuous=True,
        kinks=tuple(map(float, kinks)),
        slopes=(float(min(slopes)), float(max(slopes))),
        curvature=None if kinks else 0.0,
        injective=injective,
        constants=constants,
        piecewise_linear=True,
        source=_PIECES,
    )


def _leaky(slope: Any) -> Activation | None:
    """Return slope · z below zero, z above."""
    if not is_number(slope):
        return None
    constants = () if slope else (Constant(-_INF, 0.0, 0.0),)
    return _linear(() if slope == 1 else (0.0,), (slope, 1.0), constants=constants)


def _relu() -> Activation | None:
    return _leaky(0.0)


def _prelu(weight: Any) -> Activation | None:
    """Return what holds for every channel; kinks and slopes are those of any."""
    slopes = weight if type(weight) is tuple else (weight,)
    if not all(map(is_number, slopes)):
        return None
    # zero on some channels only: what is clipped depends on where
    constants: tuple[Constant, ...] | None = (Constant(-_INF, 0.0, 0.0),) if set(slopes) == {0} else ()
    if 0 in slopes and not constants:
        constants = None
    return Activation(
        "",
        continuous=True,
        kinks=() if set(slopes) == {1} else (0.0,),
        slopes=(float(min(*slopes, 1.0)), float(max(*slopes, 1.0))),
        curvature=0.0 if set(slopes) == {1} else None,
        injective=all(s > 0 for s in slopes),
        constants=constants,
        piecewise_linear=True,
        source=_PIECES,
    )


def _rrelu(lower: Any, upper: Any, training: Any) -> Activation | None:
    """Return what it is in evaluation: the mean slope. In training it is random."""
    if training is not False or not is_number(lower) or not is_number(upper):
        return None
    return _leaky((lower + upper) / 2)


def _clamp(low: Any, high: Any) -> Activation | None:
    if not all(bound is None or type(bound) in (int, float) for bound in (low, high)) or low is high is None:
        return None
    constants: tuple[Constant, ...] = ()
    first = -_INF if low is None else float(low)
    last = _INF if high is None else float(high)
    if not first < last or first == _INF or last == -_INF:
        return None  # torch gives a constant for some of these and refuses others
    kinks = tuple(bound for bound in (first, last) if math.isfinite(bound))
    if first > -_INF:
        constants += (Constant(-_INF, first, first),)
    if last < _INF:
        constants += (Constant(last, _INF, last),)
    return _linear(kinks, (0.0, 1.0) if kinks else (1.0,), constants=constants)


def _abs() -> Activation:
    return _linear((0.0,), (-1.0, 1.0))


def _softshrink(lambd: Any) -> Activation | None:
    """Return z − λ above λ, z + λ below −λ, 0 between."""
    if not is_number(lambd) or lambd < 0:  # torch refuses negative ones
        return None
    if lambd == 0:
        return _linear((), (1.0,))
    return _linear((-lambd, lambd), (1.0, 0.0, 1.0), constants=(Constant(-lambd, lambd, 0.0),))


def _hardshrink(lambd: Any) -> Activation | None:
    """Return z where |z| > λ, else 0: it jumps by λ."""
    if not is_number(lambd):
        return None
    if lambd <= 0:
        return _linear((), (1.0,))
    return Activation(
        "",
        continuous=False,
        kinks=(-float(lambd), float(lambd)),
        injective=False,
        constants=(Constant(-float(lambd), float(lambd), 0.0),),
        piecewise_linear=False,
        source="it jumps at ±λ",
    )


def _threshold(threshold: Any, value: Any) -> Activation | None:
    """Return z above the threshold, else the value: continuous where the two are one number."""
    if not is_number(threshold) or not is_number(value):
        return None
    constants = (Constant(-_INF, float(threshold), float(value)),)
    if threshold == value:
        return _linear((threshold,), (0.0, 1.0), constants=constants)
    return Activation(
        "",
        continuous=False,
        kinks=(float(threshold),),
        injective=False,
        constants=constants,
        piecewise_linear=False,
        source="it jumps at its threshold",
    )


def _hardsigmoid() -> Activation:
    """Return clamp(z + 3, 0, 6)/6."""
    constants = (Constant(-_INF, -3.0, 0.0), Constant(3.0, _INF, 1.0))
    # torch keeps 1/6 in float32
    return _linear((-3.0, 3.0), (0.0, 0.1667), constants=constants)


_LAMBDA = (Parameter("lambd", 0.5),)
_SLOPES = ((), (0.0,), (0.3,), (-1.7,), (1.0,), (2.5,), (-0.1,), (1,))

FAMILIES = (
    Family("relu", _relu, module="ReLU"),
    Family("relu6", lambda: _clamp(0.0, 6.0), called=("hardtanh",), module="ReLU6"),
    Family(
        "leaky_relu",
        _leaky,
        (Parameter("negative_slope", 0.01),),
        module="LeakyReLU",
        examples=_SLOPES,
    ),
    Family(
        "prelu",
        _prelu,
        (Parameter("weight"),),
        module="PReLU",
        examples=((0.25,), (0,), (-0.5,), (1.0,), (2.0,)),
    ),
    Family(
        "rrelu",
        _rrelu,
        (Parameter("lower", 1 / 8), Parameter("upper", 1 / 3), Parameter("training", False)),
        module="RReLU",
        examples=((), (0.1, 0.3), (-0.2, 0.1), (1.0, 1.0), (-1.0, 1.0)),
    ),
    Family(
        "hardtanh",
        _clamp,
        (Parameter("min_val", -1.0), Parameter("max_val", 1.0)),
        module="Hardtanh",
        examples=((), (0.0, 6.0), (-2.0, 0.5), (-4, 4)),
    ),
    Family(
        "clamp",
        _clamp,
        (Parameter("min", None), Parameter("max", None)),
        also=("clip",),
        examples=((0,), (None, 1.5), (-1.0, 2), (0.0, 6.0)),
    ),
    Family("clamp_min", lambda low: _clamp(low, None), (Parameter("min"),), examples=((0,), (-1.5,))),
    Family("clamp_max", lambda high: _clamp(None, high), (Parameter("max"),), examples=((0,), (1.5,))),
    Family("abs", _abs, also=("absolute",)),
    Family("softshrink", _softshrink, _LAMBDA, module="Softshrink", examples=((), (0.0,), (2,))),
    Family("hardshrink", _hardshrink, _LAMBDA, module="Hardshrink", examples=((), (0.0,), (2,), (-1.0,))),
    Family(
        "threshold",
        _threshold,
        (Parameter("threshold"), Parameter("value")),
        also=("_threshold",),
        module="Threshold",
        examples=((0, 0), (0.5, 0.5), (0.1, 20), (-1.0, -2.0)),
    ),
    Family("hardsigmoid", _hardsigmoid, module="Hardsigmoid"),
)
