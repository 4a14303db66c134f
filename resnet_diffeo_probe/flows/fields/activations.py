"""Activations whose derivative is a function of their own output: all a closed-form gradient needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["ACTIVATIONS", "PlaneActivation", "activation_named"]

Array = NDArray[np.floating[Any]]


def _softplus(x: Array, out: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0), out=out)


def _rectify(x: Array, out: Array) -> Array:
    return np.maximum(x, x.dtype.type(0), out=out)


def _tanh(x: Array, out: Array) -> Array:
    return np.tanh(x, out=out)


@dataclass(frozen=True, slots=True)
class PlaneActivation:
    """A scalar non-linearity.

    Attributes:
        name: as in configuration files and in `torch.nn.functional`.
        apply: (input, out) writes the values to `out` (which may be the input) and returns it.
        slope: (output values, out) writes the derivative's values to `out` and returns it.
    """

    name: str
    apply: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]


def _slope_of_tanh(h: Array, out: Array) -> Array:
    np.multiply(h, h, out=out)
    return np.subtract(h.dtype.type(1), out, out=out)


def _slope_of_rectifier(h: Array, out: Array) -> Array:
    out[...] = h > 0
    return out


def _slope_of_softplus(h: Array, out: Array) -> Array:
    np.negative(h, out=out)
    np.expm1(out, out=out)
    return np.negative(out, out=out)


ACTIVATIONS: dict[str, PlaneActivation] = {
    "tanh": PlaneActivation("tanh", _tanh, _slope_of_tanh),
    "relu": PlaneActivation("relu", _rectify, _slope_of_rectifier),
    "softplus": PlaneActivation("softplus", _softplus, _slope_of_softplus),
}


def activation_named(name: str) -> PlaneActivation:
    """Return the activation of that name.

    Raises:
        ConfigurationError: no such activation.
    """
    if name not in ACTIVATIONS:
        raise ConfigurationError(
            f"unknown activation {name!r}", fix=f"choose one of: {', '.join(sorted(ACTIVATIONS))}"
        )
    return ACTIVATIONS[name]
