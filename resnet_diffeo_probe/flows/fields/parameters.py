"""The weights of many networks at once: one flat row a seed, seen as the layers' kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resnet_diffeo_probe.flows.fields.architecture import PLANE, PlaneNetwork

__all__ = ["Parameters", "glorot_uniform"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights of S networks of one architecture, or anything of their shape (a gradient, a moment).

    Attributes:
        architecture: what the numbers mean.
        flat: (S, P), the memory; the other attributes are views of it.
        kernels: one array a layer of the field, (S, fields, rows, columns); a bias is the last column.
        readout: (S, 1, 3), the linear classifier: two weights and the bias.
    """

    architecture: PlaneNetwork
    flat: NDArray[np.floating[Any]]
    kernels: tuple[NDArray[np.floating[Any]], ...]
    readout: NDArray[np.floating[Any]]

    @classmethod
    def from_flat(cls, architecture: PlaneNetwork, flat: NDArray[np.floating[Any]]) -> Parameters:
        """See the rows of `flat`, (S, P), as weights; nothing is copied."""
        seeds, fields = flat.shape[0], architecture.fields
        kernels = []
        start = 0
        for rows, columns in architecture.kernel_shapes():
            size = fields * rows * columns
            kernels.append(flat[:, start : start + size].reshape(seeds, fields, rows, columns))
            start += size
        readout = flat[:, start:].reshape(seeds, 1, PLANE + 1)
        return cls(architecture, flat, tuple(kernels), readout)

    @classmethod
    def zeros(cls, architecture: PlaneNetwork, seeds: int, dtype: DTypeLike = np.float32) -> Parameters:
        """Return zeros for that many seeds."""
        return cls.from_flat(architecture, np.zeros((seeds, parameter_count(architecture)), dtype=dtype))

    @property
    def seeds(self) -> int:
        """Number of networks."""
        return int(self.flat.shape[0])

    def astype(self, dtype: DTypeLike) -> Parameters:
        """Return a copy in another floating-point type."""
        return Parameters.from_flat(self.architecture, self.flat.astype(dtype))

    def select(self, rows: Any) -> Parameters:
        """Return a copy of the networks at these rows (an index array, slice or list)."""
        return Parameters.from_flat(self.architecture, np.array(self.flat[rows], ndmin=2))

    def kernel_mask(self) -> NDArray[np.float32]:
        """Return (P,), 1 where weight decay acts (kernels, the readout's too), 0 on biases."""
        mask = Parameters.zeros(self.architecture, 1)
        for kernel in mask.kernels:
            kernel[...] = 1.0
        if self.architecture.bias:
            for kernel in mask.kernels[:-1]:
                kernel[..., -1] = 0.0
        mask.readout[..., :PLANE] = 1.0
        return mask.flat[0].astype(np.float32)


def parameter_count(architecture: PlaneNetwork) -> int:
    """Return the number of weights of one network, its readout included."""
    layers = sum(rows * columns for rows, columns in architecture.kernel_shapes())
    return architecture.fields * layers + PLANE + 1


def glorot_uniform(
    architecture: PlaneNetwork, rngs: list[np.random.Generator], *, gain: float = 1.0
) -> Parameters:
    """Draw initial weights, one network from each source of chance; biases are zero (section 4.1).

    Args:
        architecture: the networks' shape.
        rngs: one source of chance a network, so that a seed's weights do not depend on its neighbours.
        gain: factor on the field's kernels; the readout keeps Glorot's own scale.

    Returns:
        Float32 weights.
    """
    parameters = Parameters.zeros(architecture, len(rngs))
    biased = int(architecture.bias)
    for row, rng in enumerate(rngs):
        for depth, kernel in enumerate(parameters.kernels):
            fields, rows, columns = kernel.shape[1:]
            inputs = columns - (biased if depth < len(parameters.kernels) - 1 else 0)
            limit = gain * np.sqrt(6.0 / (inputs + rows))
            kernel[row, :, :, :inputs] = rng.uniform(-limit, limit, (fields, rows, inputs))
        limit = np.sqrt(6.0 / (PLANE + 1))
        parameters.readout[row, 0, :PLANE] = rng.uniform(-limit, limit, PLANE)
    return parameters
