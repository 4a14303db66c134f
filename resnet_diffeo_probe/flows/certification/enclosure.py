"""Rigorous enclosures of a tanh network's Euler map over small boxes of the plane, in float64.

A set of points is kept as ``c + A [-1, 1]^2 + [-e, e]``: a float centre, a float 2 x 2 matrix and an
error box. One step maps it by the mean value theorem, ``step(x) in step(c) + G (x - c)``, where G
encloses the step's Jacobian over the set's hull. Only what is of second order in the box, and rounding,
lands in the error box, so that a spiral's rotation does not inflate it as plain interval arithmetic would.

Rounding is bounded, not directed: every float result m comes with a radius that covers its distance from
the true value, by the standard model ``|fl(a op b) - (a op b)| <= u |a op b|`` with u = 2^-53; the
factors below count the operations generously. tanh is taken to be within 4 units in the last place of the
true value (numpy's vectorised one is documented within 4). Underflow is covered by an absolute `TINY`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = ["EnclosedMap", "MapEnclosure"]

Array = NDArray[np.float64]

U = 2.0**-53
TINY = 1e-300
INFLATE = 1.0 + 64 * U  # of a radius: covers the rounding of the few dozen operations that made it
TANH_ERROR = 8 * U  # 4 ulp of a number below 1, absolute
MATRIX_SHAPE = (PLANE, PLANE)


@dataclass(frozen=True, slots=True)
class MapEnclosure:
    """What is known of the map over every box.

    Attributes:
        centre: (2, B).
        matrix: (2, 2, B).
        error: (2, B), at least 0. The image of a box lies in ``centre + matrix [-1, 1]^2 + [-error, error]``.
        sign: (B,) the certain sign of det over the whole box, 0 where it is not certain.
        determinant: (2, B) lower and upper bound of det, not tight.
        jacobian: (2, 2, B) and `jacobian_radius` enclose the Jacobian matrix of the whole map over the box.
        jacobian_radius: (2, 2, B).
    """

    centre: Array
    matrix: Array
    error: Array
    sign: NDArray[np.int8]
    determinant: Array
    jacobian: Array
    jacobian_radius: Array

    def hull_radius(self) -> Array:
        """Return (2, B): the image lies within this of the centre in each coordinate."""
        return _hull_radius(self.matrix, self.error)


def _hull_radius(matrix: Array, error: Array) -> Array:
    return (np.abs(matrix).sum(axis=1) + error) * INFLATE + TINY


class EnclosedMap:
    """The Euler map of one tanh network with one hidden layer.

    Args:
        parameters: one network (S = 1); its float32 or float64 numbers are taken as exact.

    Raises:
        ConfigurationError: several networks, another activation, or more than one hidden layer.
    """

    def __init__(self, parameters: Parameters):
        architecture = parameters.architecture
        if parameters.seeds != 1 or architecture.activation != "tanh" or len(architecture.widths) != 1:
            raise ConfigurationError(
                f"certification of {parameters.seeds} networks with {architecture.activation}, "
                f"{len(architecture.widths)} hidden layer(s)",
                why="the enclosures are written for one tanh network with one hidden layer",
                fix="select one such network",
            )
        first, second = (kernel[0].astype(np.float64) for kernel in parameters.kernels)
        self.order = [step % architecture.fields for step in range(architecture.steps)]
        self.weights = first[:, :, :PLANE]
        width = first.shape[1]
        self.biases = first[:, :, PLANE:] if architecture.bias else np.zeros((*first.shape[:2], 1))
        self.readback = second
        # row (i, j) of the Jacobian is coefficient (i, j, k) times slope k; one rounding each, covered below
        self.coefficients = (second[:, :, None, :] * self.weights.transpose(0, 2, 1)[:, None, :, :]).reshape(
            -1, PLANE * PLANE, width
        )

    def enclose(self, centre: Array, half: Array) -> MapEnclosure:
        """Enclose the map over boxes ``centre + [-half, half]``, both (2, B); half may be zero (points)."""
        batch = centre.shape[1]
        matrix = np.zeros((*MATRIX_SHAPE, batch))
        matrix[0, 0], matrix[1, 1] = half
        error = np.zeros((PLANE, batch))
        sign = np.ones(batch, dtype=np.int8)
        low, high = np.ones(batch), np.ones(batch)
        jacobian = np.zeros((*MATRIX_SHAPE, batch))
        jacobian[0, 0] = jacobian[1, 1] = 1.0
        radius = np.zeros_like(jacobian)
        with np.errstate(over="ignore", invalid="ignore"):
            for field in self.order:
                slope, slope_radius = self._slopes(field, centre, _hull_radius(matrix, error))
                g, g_radius = self._step_jacobian(field, slope, slope_radius)
                bounds = _determinant(g, g_radius)
                sign = sign * np.where(bounds[0] > 0, 1, np.where(bounds[1] < 0, -1, 0)).astype(np.int8)
                low, high = _interval_product(low, high, *bounds)
                centre, centre_error = self._move(field, centre)
                jacobian, radius = _matrix_product(g, g_radius, jacobian, radius)
                matrix, error = _propagate(g, g_radius, matrix, error, centre_error)
        certain = np.isfinite(low) & np.isfinite(high) & np.isfinite(error).all(axis=0)
        sign = np.where(certain, sign, 0).astype(np.int8)
        return MapEnclosure(centre, matrix, error, sign, np.stack([low, high]), jacobian, radius)

    def _slopes(self, field: int, centre: Array, reach: Array) -> tuple[Array, Array]:
        """Return middle and radius, (width, B), of every basis function's slope 1 - tanh^2 over the hull."""
        weights, bias = self.weights[field], self.biases[field]
        middle = weights @ centre + bias
        spread = np.abs(weights) @ reach + 8 * U * (np.abs(weights) @ np.abs(centre) + np.abs(bias))
        spread = spread * INFLATE + TINY
        magnitude = np.abs(middle)
        nearest = np.tanh(np.maximum(magnitude - spread, 0.0) * (1 - 2 * U))
        farthest = np.tanh((magnitude + spread) * (1 + 2 * U))
        # the derivative of 1 - h^2 by h is at most 2 in size: twice tanh's error, and the two roundings
        high = 1 - nearest * nearest + 2 * TANH_ERROR + 4 * U
        low = np.maximum(1 - farthest * farthest - 2 * TANH_ERROR - 4 * U, 0.0)
        slope = (high + low) / 2
        return slope, ((high - low) / 2 + 2 * U) * INFLATE

    def _step_jacobian(self, field: int, slope: Array, slope_radius: Array) -> tuple[Array, Array]:
        """Enclose I + J_F, middle and radius (2, 2, B)."""
        coefficients = self.coefficients[field]
        size = np.abs(coefficients)
        count = coefficients.shape[1] + 4
        middle = (coefficients @ slope).reshape(*MATRIX_SHAPE, -1)
        radius = size @ slope_radius + 2 * count * U * (size @ (slope + slope_radius))
        radius = radius.reshape(middle.shape)
        middle[0, 0] += 1.0
        middle[1, 1] += 1.0
        return middle, (radius + 2 * U * np.abs(middle)) * INFLATE + TINY

    def _move(self, field: int, centre: Array) -> tuple[Array, Array]:
        """Return the centre after the step and the bound of its rounding error, (2, B) each."""
        weights, bias, readback = self.weights[field], self.biases[field], self.readback[field]
        argument = weights @ centre + bias
        argument_error = 8 * U * (np.abs(weights) @ np.abs(centre) + np.abs(bias)) * INFLATE
        hidden = np.tanh(
            argument
        )  # its slope is at most 1: the argument's error passes on undiminished at worst
        hidden_error = argument_error + TANH_ERROR
        moved = centre + readback @ hidden
        size = np.abs(readback)
        count = readback.shape[1] + 4
        error = size @ hidden_error + 2 * count * U * (size @ np.abs(hidden)) + 2 * U * np.abs(moved)
        return moved, error * INFLATE + TINY


def _determinant(g: Array, radius: Array) -> tuple[Array, Array]:
    """Bound det of matrices with middle g and radius, (2, 2, B)."""
    size = np.abs(g)
    middle = g[0, 0] * g[1, 1] - g[0, 1] * g[1, 0]
    spread = (
        size[0, 0] * radius[1, 1]
        + radius[0, 0] * (size[1, 1] + radius[1, 1])
        + size[0, 1] * radius[1, 0]
        + radius[0, 1] * (size[1, 0] + radius[1, 0])
        + 8 * U * (size[0, 0] * size[1, 1] + size[0, 1] * size[1, 0])
    ) * INFLATE + TINY
    return np.nextafter(middle - spread, -np.inf), np.nextafter(middle + spread, np.inf)


def _interval_product(low: Array, high: Array, other_low: Array, other_high: Array) -> tuple[Array, Array]:
    products = np.stack([low * other_low, low * other_high, high * other_low, high * other_high])
    return np.nextafter(products.min(axis=0), -np.inf), np.nextafter(products.max(axis=0), np.inf)


def _matrix_product(a: Array, a_radius: Array, b: Array, b_radius: Array) -> tuple[Array, Array]:
    """Enclose the product of two enclosed matrices."""
    middle = np.einsum("ijb,jkb->ikb", a, b)
    size_a, size_b = np.abs(a), np.abs(b)
    radius = (
        np.einsum("ijb,jkb->ikb", size_a + a_radius, b_radius)
        + np.einsum("ijb,jkb->ikb", a_radius, size_b)
        + 8 * U * np.einsum("ijb,jkb->ikb", size_a, size_b)
    )
    return middle, radius * INFLATE + TINY


def _propagate(
    g: Array, radius: Array, matrix: Array, error: Array, centre_error: Array
) -> tuple[Array, Array]:
    """Map ``matrix [-1, 1]^2 + [-error, error]``; what does not fit a matrix goes to the error."""
    moved = np.einsum("ijb,jkb->ikb", g, matrix)
    size = np.abs(matrix)
    grown = (
        np.einsum("ijb,jb->ib", np.abs(g) + radius, error)
        + np.einsum("ijb,jkb->ib", radius, size)
        + 8 * U * np.einsum("ijb,jkb->ib", np.abs(g), size)
        + centre_error
    )
    return moved, grown * INFLATE + TINY
