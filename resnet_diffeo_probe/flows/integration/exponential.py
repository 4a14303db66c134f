"""exp(V) of a stationary field: section 3.1's one-parameter group, and how far a scheme is from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.integration.integrate import flow

__all__ = ["composed", "exponential", "group_error"]

Array = NDArray[np.floating[Any]]


def exponential(field: VelocityField, x: Array, *, time: float = 1.0) -> Array:
    """Return exp(time V)(x), (S, 2, B), by adaptive integration to 1e-9 (eq. 3).

    Args:
        field: S stationary fields, float64.
        x: (S, 2, B) or (1, 2, B) points.
        time: in units of the trained duration; negative goes backwards.

    Raises:
        ConfigurationError: the field varies in time, and has no exponential.
    """
    _needs_stationary(field)
    return flow(field, x, steps=1, scheme="adaptive", duration=abs(time), backwards=time < 0)


def composed(field: VelocityField, x: Array, *, halvings: int, scheme: str = "euler") -> Array:
    """Return phi(1/2^n) applied 2^n times, (S, 2, B), where phi(1/2^n) is one step of the scheme.

    Section 3.1: "phi(1) comes to apply n times phi(1/2^n)"; it takes 2^n times.

    Args:
        field: S stationary fields.
        x: (S, 2, B) or (1, 2, B) points.
        halvings: n.
        scheme: as in `flow`.

    Raises:
        ConfigurationError: a time-varying field, or a negative n.
    """
    _needs_stationary(field)
    if halvings < 0:
        raise ConfigurationError(f"{halvings} halvings of the time", why="it must be 0 or more")
    for _ in range(2**halvings):
        x = flow(field, x, steps=1, scheme=scheme, duration=0.5**halvings)
    return x


def group_error(
    field: VelocityField, x: Array, *, s: float = 0.5, t: float = 0.5, steps: int = 20, scheme: str = "euler"
) -> Array:
    """Return ||phi(t) phi(s) x - phi(s + t) x||, (S, B): zero for a flow, not for a discretisation of it.

    Each of the three maps is taken with the same number of steps, as a network of that depth would, so that
    the two sides differ in step length.

    Raises:
        ConfigurationError: a time-varying field, or times that are not positive.
    """
    _needs_stationary(field)
    if min(s, t) <= 0:
        raise ConfigurationError(f"times {s} and {t}", why="both must be positive")
    two = flow(
        field, flow(field, x, steps=steps, scheme=scheme, duration=s), steps=steps, scheme=scheme, duration=t
    )
    one = flow(field, x, steps=steps, scheme=scheme, duration=s + t)
    return np.asarray(np.linalg.norm(two - one, axis=1))


def _needs_stationary(field: VelocityField) -> None:
    if not field.stationary:
        raise ConfigurationError(
            "the exponential of a time-varying velocity field",
            why="only a stationary field generates a one-parameter group (section 3.1)",
            fix="take network b, c or d",
        )
