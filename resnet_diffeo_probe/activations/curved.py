"""Functions with curved pieces.

Bounds of slopes and curvatures that are no simple numbers are the extrema of f' and f'', where the next derivative
vanishes, rounded away from zero in the fourth digit; torch's float32 constants lie within that.
"""

from __future__ import annotations

import math
from typing import Any

from resnet_diffeo_probe.activations.family import Family, Parameter, is_number
from resnet_diffeo_probe.activations.record import Activation, Constant

__all__ = ["FAMILIES"]

_INF = math.inf
# What float32 can resolve of a number of size one; a jump below this is rounding.
_FLOAT32 = 2.0**-24
# A constant that torch keeps in float32 is wrong by so much at most.
_KEPT_IN_FLOAT32 = 1.0000001


def _smooth(
    slopes: tuple[float, float], curvature: float | None, *, injective: bool, source: str
) -> Activation:
    return Activation(
        "",
        continuous=True,
        kinks=(),
        slopes=slopes,
        curvature=curvature,
        injective=injective,
        constants=(),
        piecewise_linear=False,
        source=source,
    )


def _elu(alpha: Any) -> Activation | None:
    """Return α (eᶻ − 1) below zero, z above: slopes between 0 and α there, α at 0 from below."""
    if not is_number(alpha):
        return None
    source = "f' = α eᶻ below zero, 1 above"
    if alpha == 1:
        return _smooth((0.0, 1.0), 1.0, injective=True, source=source)
    flat = (Constant(-_INF, 0.0, 0.0),) if alpha == 0 else ()
    return Activation(
        "",
        continuous=True,
        kinks=(0.0,),
        slopes=(float(min(alpha, 0.0)), float(max(alpha, 1.0))),
        injective=alpha > 0,
        constants=flat,
        piecewise_linear=alpha == 0,
        source=source,
    )


def _celu(alpha: Any) -> Activation | None:
    """Return α (exp(z/α) − 1) below zero, z above: f' = exp(z/α) there, and 1 at 0 from both sides."""
    if not is_number(alpha) or not 1e-30 < abs(alpha) < 1e30:  # 1/α is kept in float32
        return None
    source = "f' = exp(z/α) below zero, 1 above"
    if alpha < 0:  # it grows without bound on the left
        return _smooth((1.0 / _KEPT_IN_FLOAT32, _INF), None, injective=True, source=source)
    return _smooth((0.0, _KEPT_IN_FLOAT32), _KEPT_IN_FLOAT32**2 / alpha, injective=True, source=source)


def _selu() -> Activation:
    """Return s α (eᶻ − 1) below zero, s z above, s = 1.0507…, α = 1.6732…."""
    return Activation(
        "",
        continuous=True,
        kinks=(0.0,),
        slopes=(0.0, 1.7581),
        injective=True,
        constants=(),
        piecewise_linear=False,
        source="f' = s α eᶻ below zero, s above; s α = 1.75810 (Klambauer et al., 2017)",
    )


def _softplus(beta: Any, threshold: Any) -> Activation | None:
    """Return log(1 + exp(βz))/β, but z where βz > threshold: there it jumps by log(1 + exp(−threshold))/|β|."""
    # beyond, the exponential overflows
    if not is_number(beta) or not is_number(threshold) or beta == 0 or abs(threshold) > 700:
        return None
    jump = math.log1p(math.exp(-threshold))
    if threshold > 0 and jump <= _FLOAT32 * threshold:
        source = (
            "f' = 1/(1 + exp(−βz)), f'' = β f'(1 − f'); its jump at the threshold is below float32's rounding"
        )
        return _smooth((0.0, 1.0), abs(beta) / 4, injective=True, source=source)
    return Activation(
        "",
        continuous=False,
        kinks=(threshold / beta,),
        injective=False,
        constants=(),
        piecewise_linear=False,
        source="it jumps back where βz passes the threshold",
    )


def _gelu(approximate: Any) -> Activation | None:
    if approximate not in ("none", "tanh"):
        return None
    # f'' is largest at 0, 2/√(2π) = 0.7979, for both; the tanh form's f' ends 9e-5 higher
    return _smooth(
        (-0.1290, 1.1290),
        0.7993,
        injective=False,
        source="extrema of f' at z = ±√2 (erf form), ±1.4185 (tanh form); of f'' at 0",
    )


_SILU = "f'(z) = s + z s (1 − s), s = 1/(1 + exp(−z)): extrema at z = ±2.3994; f'' is largest at 0, 1/2"


def _silu() -> Activation:
    return _smooth((-0.0999, 1.0999), 0.5, injective=False, source=_SILU)


def _swish(beta: Any) -> Activation | None:
    """Return z/(1 + exp(−βz)), silu(βz)/β: the same slopes."""
    if not is_number(beta) or beta == 0:
        return None
    return _smooth((-0.0999, 1.0999), abs(beta) / 2, injective=False, source=f"silu(βz)/β; {_SILU}")


def _mish() -> Activation:
    return _smooth(
        (-0.1126, 1.0887),
        0.6443,
        injective=False,
        source="extrema of f' at z = −2.2564 and 1.4906; of f'' at −0.0879 (Misra, 2019, for the function)",
    )


def _tanh() -> Activation:
    return _smooth((0.0, 1.0), 0.7699, injective=True, source="f' = 1 − f²; |f''| ≤ 4/(3√3) = 0.76980")


def _tanhshrink() -> Activation:
    return _smooth((0.0, 1.0), 0.7699, injective=True, source="z − tanh z: f' = tanh²; |f''| ≤ 4/(3√3)")


def _sigmoid() -> Activation:
    return _smooth((0.0, 0.25), 0.0963, injective=True, source="f' = f(1 − f); |f''| ≤ 1/(6√3) = 0.09623")


def _logsigmoid() -> Activation:
    return _smooth((0.0, 1.0), 0.25, injective=True, source="f' = 1/(1 + eᶻ), f'' = −f'(1 − f')")


def _softsign() -> Activation:
    return _smooth((0.0, 1.0), 2.0, injective=True, source="f' = 1/(1 + |z|)², |f''| = 2/(1 + |z|)³")


def _erf() -> Activation:
    # one rounding up of 2/√π
    slope = 2 / math.sqrt(math.pi) * (1 + 1e-15)
    return _smooth(
        (0.0, slope), 0.9679, injective=True, source="f' = 2/√π exp(−z²); |f''| ≤ 2√2/√(πe) = 0.96788"
    )


def _wave() -> Activation:
    return _smooth((-1.0, 1.0), 1.0, injective=False, source="|f'| and |f''| are at most 1")


def _exp() -> Activation:
    return _smooth((0.0, _INF), None, injective=True, source="f' = f has no bound")


def _square() -> Activation:
    return _smooth((-_INF, _INF), 2.0, injective=False, source="f' = 2z has no bound, f'' = 2")


def _hardswish() -> Activation:
    """Return z clamp(z + 3, 0, 6)/6: (2z + 3)/6 is its slope between −3 and 3."""
    return Activation(
        "",
        continuous=True,
        kinks=(-3.0, 3.0),
        slopes=(-0.5, 1.5),
        injective=False,
        constants=(Constant(-_INF, -3.0, 0.0),),
        piecewise_linear=False,
        source="f' = (2z + 3)/6 between the kinks, 0 and 1 beyond",
    )


_ALPHA = (Parameter("alpha", 1.0),)

FAMILIES = (
    Family(
        "elu",
        _elu,
        _ALPHA,
        module="ELU",
        examples=((), (1,), (0.4,), (1.6,), (0.0,), (-0.5,), (-5.0,), (-1,)),
    ),
    Family("celu", _celu, _ALPHA, module="CELU", examples=((), (0.7,), (0.05,), (3.1,), (-1.0,), (-4.0,))),
    Family("selu", _selu, module="SELU"),
    Family(
        "softplus",
        _softplus,
        (Parameter("beta", 1.0), Parameter("threshold", 20.0)),
        module="Softplus",
        examples=((), (2.0,), (0.5,), (-1.5,), (1, 1), (2.0, 5.0), (1.0, -1.0), (1.0, 15)),
    ),
    Family(
        "gelu",
        _gelu,
        (Parameter("approximate", "none", keyword=True),),
        module="GELU",
        examples=((), ("tanh",)),
    ),
    Family("silu", _silu, module="SiLU"),
    Family(
        "swish",
        _swish,
        (Parameter("beta", 1.0),),
        spelled=lambda z, beta=1.0: z * (beta * z).sigmoid(),
        examples=((), (1.702,), (0.3,), (-2.0,)),
    ),
    Family("mish", _mish, module="Mish"),
    Family("hardswish", _hardswish, module="Hardswish"),
    Family("tanh", _tanh, module="Tanh"),
    Family("tanhshrink", _tanhshrink, module="Tanhshrink"),
    Family("sigmoid", _sigmoid, also=("expit",), module="Sigmoid"),
    Family("logsigmoid", _logsigmoid, also=("log_sigmoid",), module="LogSigmoid"),
    Family("softsign", _softsign, module="Softsign"),
    Family("erf", _erf),
    Family("sin", _wave),
    Family("cos", _wave),
    Family("exp", _exp),
    Family("square", _square),
)
