"""Velocity fields V(x) = sum_i nu_i sigma(w_i x + b_i) (eq. 8) of many networks, with their Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.activations import activation_named
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = ["VelocityField"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class VelocityField:
    """The fields of S networks, in a time that counts the trained steps: field k rules over [k, k + 1).

    A stationary field (shared weights) rules at every time. phi(1) of the paper is the flow over
    `Architecture.steps` units of this time, and a trained network is its Euler scheme of unit step.

    Attributes:
        parameters: the weights; analyses should hold them in float64.
    """

    parameters: Parameters

    @property
    def steps(self) -> int:
        """Trained steps: the duration of the flow."""
        return self.parameters.architecture.steps

    @property
    def stationary(self) -> bool:
        """Whether one field rules at every time."""
        return self.parameters.architecture.shared

    def index(self, step: int) -> int:
        """Return which field rules after `step` trained steps."""
        return step % self.parameters.architecture.fields

    def __call__(self, x: Array, index: int = 0) -> Array:
        """Return V(x), (S, 2, B), at points (S, 2, B) or (1, 2, B), of field number `index`."""
        return self._layers(x, index)[0]

    def with_jacobian(self, x: Array, index: int = 0) -> tuple[Array, Array]:
        """Return V(x), (S, 2, B), and its Jacobian, (S, 2, 2, B): entry [s, i, j, b] is dV_i / dx_j."""
        kernels = self.parameters.kernels
        activation = activation_named(self.parameters.architecture.activation)
        velocity, outputs = self._layers(x, index)
        jacobian: Array | None = None
        for kernel, output in zip(kernels[:-1], outputs, strict=True):
            columns = kernel.shape[3] - int(self.parameters.architecture.bias)
            weights = kernel[:, index, :, :columns]
            slope = activation.slope(output, np.empty_like(output))
            if jacobian is None:
                jacobian = slope[:, :, None, :] * weights[:, :, :, None]
            else:
                jacobian = slope[:, :, None, :] * _apply(weights, jacobian)
        assert jacobian is not None  # noqa: S101 - an architecture has a hidden layer
        return velocity, _apply(kernels[-1][:, index], jacobian)

    def _layers(self, x: Array, index: int) -> tuple[Array, list[Array]]:
        parameters = self.parameters
        activation = activation_named(parameters.architecture.activation)
        outputs = []
        for kernel in parameters.kernels[:-1]:
            weights = kernel[:, index]
            if parameters.architecture.bias:
                x = np.matmul(weights[:, :, :-1], x) + weights[:, :, -1:]
            else:
                x = np.matmul(weights, x)
            activation.apply(x, x)
            outputs.append(x)
        return np.matmul(parameters.kernels[-1][:, index], x), outputs


def _apply(weights: Array, jacobian: Array) -> Array:
    """Return weights (S, m, n) times jacobian (S, n, 2, B)."""
    seeds, inner, columns, batch = jacobian.shape
    product = np.matmul(weights, jacobian.reshape(seeds, inner, columns * batch))
    return product.reshape(seeds, weights.shape[1], columns, batch)
