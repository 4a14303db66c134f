"""Adaptive integration by torchdiffeq's Dormand-Prince scheme (section 5.2: "particularly relevant")."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchdiffeq import odeint  # type: ignore[import-untyped]

from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.plane import product

__all__ = ["ABSOLUTE_TOLERANCE", "RELATIVE_TOLERANCE", "adaptive_step"]

Array = NDArray[np.floating[Any]]

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-9


def adaptive_step(
    field: VelocityField, index: int, state: tuple[Array, Array | None], h: float
) -> tuple[Array, Array | None]:
    """Integrate one field over a time h with as many inner steps as the tolerance needs.

    The step control looks at all points together. The Jacobian solves the variational equation by the
    same steps.

    Args:
        field: S velocity fields, float64.
        index: which of them rules.
        state: points (S, 2, B) and Jacobians (S, 2, 2, B) or None.
        h: duration in trained steps, negative backwards.
    """
    x, jacobian = state
    shape = (field.parameters.seeds, *x.shape[1:])
    start = np.array(np.broadcast_to(x, shape), dtype=np.float64)
    if jacobian is not None:
        carried = np.broadcast_to(jacobian, (shape[0], 2, 2, shape[2])).reshape(shape[0], 4, shape[2])
        start = np.concatenate([start, carried], axis=1)

    def rate(_time: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
        values = packed.numpy()
        if jacobian is None:
            return torch.from_numpy(field(values, index))
        velocity, slope = field.with_jacobian(np.ascontiguousarray(values[:, :2]), index)
        change = product(slope, values[:, 2:].reshape(shape[0], 2, 2, shape[2]))
        return torch.from_numpy(np.concatenate([velocity, change.reshape(shape[0], 4, shape[2])], axis=1))

    times = torch.tensor([0.0, h], dtype=torch.float64)
    with torch.no_grad():
        end = odeint(
            rate,
            torch.from_numpy(start),
            times,
            rtol=RELATIVE_TOLERANCE,
            atol=ABSOLUTE_TOLERANCE,
            method="dopri5",
        )[-1].numpy()
    if jacobian is None:
        return end, None
    return end[:, :2], end[:, 2:].reshape(shape[0], 2, 2, shape[2])
