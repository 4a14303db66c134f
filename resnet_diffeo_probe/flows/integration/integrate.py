"""Integrate a velocity field, forwards or backwards, with any number of steps and the schemes of section 5.2.

Every scheme carries, when asked, the Jacobian of the *discrete* map beside the state: an explicit or implicit
Runge-Kutta scheme applied to (x, J) with the variational equation dJ/dt = J_V(x) J gives exactly the
derivative of the scheme applied to x alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.plane import identity, inverse, product

__all__ = ["SCHEMES", "flow", "flow_states", "flow_with_jacobian", "substeps"]

Array = NDArray[np.floating[Any]]
State = tuple[Array, Array | None]

NEWTON_ITERATIONS = 50


def _rate(field: VelocityField, index: int, state: State) -> State:
    """Return the time derivative of the state: the velocity, and J_V J where the Jacobian is carried."""
    x, jacobian = state
    if jacobian is None:
        return field(x, index), None
    velocity, slope = field.with_jacobian(x, index)
    return velocity, product(slope, jacobian)


def _plus(state: State, *terms: tuple[float, State]) -> State:
    x, jacobian = state
    for factor, (velocity, change) in terms:
        x = x + factor * velocity
        if jacobian is not None and change is not None:
            jacobian = jacobian + factor * change
    return x, jacobian


def _euler(field: VelocityField, index: int, state: State, h: float) -> State:
    return _plus(state, (h, _rate(field, index, state)))


def _midpoint(field: VelocityField, index: int, state: State, h: float) -> State:
    middle = _plus(state, (h / 2, _rate(field, index, state)))
    return _plus(state, (h, _rate(field, index, middle)))


def _rk4(field: VelocityField, index: int, state: State, h: float) -> State:
    k1 = _rate(field, index, state)
    k2 = _rate(field, index, _plus(state, (h / 2, k1)))
    k3 = _rate(field, index, _plus(state, (h / 2, k2)))
    k4 = _rate(field, index, _plus(state, (h, k3)))
    return _plus(state, (h / 6, k1), (h / 3, k2), (h / 3, k3), (h / 6, k4))


def _solve(field: VelocityField, index: int, base: Array, h: float, start: Array) -> Array:
    """Solve y = base + h V(y) by Newton from `start`; points that do not converge become NaN, never a guess.

    A step is halved until the residual falls, which keeps Newton from cycling where the field bends.
    """
    y = np.broadcast_to(start, base.shape).copy()
    eye = identity(base.shape[0], base.shape[2], base.dtype)
    tolerance = 64 * np.finfo(base.dtype).eps

    def residual(z: Array) -> Array:
        return z - base - h * field(z, index)

    miss = residual(y)
    length = np.ones((base.shape[0], 1, base.shape[2]), dtype=base.dtype)
    for _ in range(NEWTON_ITERATIONS):
        norm = np.abs(miss).max(axis=1, keepdims=True)
        open_ = norm > tolerance * (1 + np.abs(y).max(axis=1, keepdims=True))
        if not open_.any():
            return y
        slope = field.with_jacobian(y, index)[1]
        move = np.einsum("sijb,sjb->sib", inverse(eye - h * slope), miss)
        trial = np.where(open_, y - length * move, y)
        trial_miss = residual(trial)
        better = np.abs(trial_miss).max(axis=1, keepdims=True) < norm
        y, miss = np.where(better, trial, y), np.where(better, trial_miss, miss)
        length = np.where(better, np.minimum(2 * length, 1), length / 2)
    # rounding may stop the residual a little above the tolerance
    norm = np.abs(miss).max(axis=1, keepdims=True)
    close = norm <= 1e3 * tolerance * (1 + np.abs(y).max(axis=1, keepdims=True))
    return np.where(close, y, np.nan)


def _backward_euler(field: VelocityField, index: int, state: State, h: float) -> State:
    x, jacobian = state
    x = np.broadcast_to(x, (field.parameters.seeds, *x.shape[1:]))
    end = _solve(field, index, x, h, x)
    if jacobian is None:
        return end, None
    eye = identity(end.shape[0], end.shape[2], end.dtype)
    return end, product(inverse(eye - h * field.with_jacobian(end, index)[1]), jacobian)


def _implicit_midpoint(field: VelocityField, index: int, state: State, h: float) -> State:
    x, jacobian = state
    x = np.broadcast_to(x, (field.parameters.seeds, *x.shape[1:]))
    middle = _solve(field, index, x, h / 2, x)
    end = 2 * middle - x
    if jacobian is None:
        return end, None
    eye = identity(end.shape[0], end.shape[2], end.dtype)
    slope = h / 2 * field.with_jacobian(middle, index)[1]
    return end, product(product(inverse(eye - slope), eye + slope), jacobian)


def _adaptive(field: VelocityField, index: int, state: State, h: float) -> State:
    from resnet_diffeo_probe.flows.integration.adaptive import adaptive_step  # noqa: PLC0415 - torch only when it is asked for

    return adaptive_step(field, index, state, h)


SCHEMES: dict[str, Callable[[VelocityField, int, State, float], State]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "rk4": _rk4,
    "backward-euler": _backward_euler,
    "implicit-midpoint": _implicit_midpoint,
    "adaptive": _adaptive,
}


def substeps(
    field: VelocityField, steps: int, *, duration: float = 1.0, backwards: bool = False
) -> tuple[list[int], float]:
    """Return the field's index for every step, and the signed length of a step in trained steps.

    Raises:
        ConfigurationError: fewer than one step; for a time-varying field a number of steps that cuts across
            its pieces, or a duration other than 1.
    """
    if steps < 1:
        raise ConfigurationError(
            f"{steps} integration steps", why="a flow needs at least one", fix="steps >= 1"
        )
    trained = field.steps
    if not field.stationary and (steps % trained or duration != 1.0):
        raise ConfigurationError(
            f"{steps} steps over the time {duration} through {trained} different fields",
            why="a step would cut across two fields of a network without shared weights",
            fix=f"use a multiple of {trained} steps over the time 1",
        )
    order = [field.index(step * trained // steps) for step in range(steps)]
    length = duration * trained / steps
    return (order[::-1], -length) if backwards else (order, length)


def _scheme(name: str) -> Callable[[VelocityField, int, State, float], State]:
    if name not in SCHEMES:
        raise ConfigurationError(f"unknown scheme {name!r}", fix=f"choose one of: {', '.join(SCHEMES)}")
    return SCHEMES[name]


def _march(
    field: VelocityField,
    x: Array,
    steps: int | None,
    scheme: str,
    duration: float,
    backwards: bool,
    *,
    jacobian: bool = False,
) -> Iterator[State]:
    """Yield the state at the start and after every step, with its Jacobian where that is asked for."""
    step = _scheme(scheme)
    order, h = substeps(
        field, field.steps if steps is None else steps, duration=duration, backwards=backwards
    )
    x = np.broadcast_to(x, (field.parameters.seeds, *x.shape[1:]))
    state: State = x, identity(x.shape[0], x.shape[2], x.dtype) if jacobian else None
    yield state
    for index in order:
        # around the step alone: what stands around a yield would hold in the caller too
        with np.errstate(over="ignore", invalid="ignore"):
            state = step(field, index, state, h)
        yield state


def flow_states(
    field: VelocityField,
    x: Array,
    *,
    steps: int | None = None,
    scheme: str = "euler",
    duration: float = 1.0,
    backwards: bool = False,
) -> list[Array]:
    """Return the points after every step, the starting points first; arguments as in `flow`."""
    return [state for state, _ in _march(field, x, steps, scheme, duration, backwards)]


def flow(
    field: VelocityField,
    x: Array,
    *,
    steps: int | None = None,
    scheme: str = "euler",
    duration: float = 1.0,
    backwards: bool = False,
) -> Array:
    """Return phi(1)(x), or phi(-1)(x) backwards: the solution of eq. 2 after the trained duration.

    Args:
        field: S velocity fields.
        x: (S, 2, B) points, or (1, 2, B) for the same points in every network.
        steps: number of steps; the trained number by default, which with "euler" is the network itself.
        scheme: one of `SCHEMES`; "adaptive" controls its own steps within each of `steps`.
        duration: t of phi(t), for a stationary field; the trained duration is 1.
        backwards: integrate the field backwards in time, with the same scheme.

    Returns:
        (S, 2, B). A point whose implicit step has no solution is NaN; one that overflows is infinite or NaN.

    Raises:
        ConfigurationError: an unknown scheme or an impossible number of steps.
    """
    for end, _ in _march(field, x, steps, scheme, duration, backwards):
        x = end
    return x


def flow_with_jacobian(
    field: VelocityField,
    x: Array,
    *,
    steps: int | None = None,
    scheme: str = "euler",
    duration: float = 1.0,
    backwards: bool = False,
) -> tuple[Array, Array]:
    """Return the mapped points, (S, 2, B), and the discrete map's Jacobian matrices, (S, 2, 2, B).

    Arguments and errors are those of `flow`.
    """
    jacobian: Array | None = None
    for end in _march(field, x, steps, scheme, duration, backwards, jacobian=True):
        x, jacobian = end
    assert jacobian is not None  # noqa: S101 - every scheme carries it on
    return x, jacobian
