"""Study 2: what training at another depth does to the critical step and to the Jacobian (section 5.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.plane import leftmost_real_eigenvalue
from resnet_diffeo_probe.flows.integration.integrate import flow_states
from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map
from resnet_diffeo_probe.flows.training.accuracy import classify
from resnet_diffeo_probe.flows.training.training import Training, draw_training_data

__all__ = ["DEPTHS", "depth_rows", "largest_inverse_critical_step"]

DEPTHS = (5, 10, 20, 40, 80)
HELD_OUT = 1000


def largest_inverse_critical_step(field: VelocityField, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the greatest 1 / h* of all units over the points that pass through them, (S,).

    The unit's step is too long for its flow where it exceeds 1; 0 where no real eigenvalue is negative.
    """
    greatest = np.zeros(field.parameters.seeds)
    for step, at in enumerate(flow_states(field, x)[:-1]):
        leftmost = leftmost_real_eigenvalue(field.with_jacobian(at, field.index(step))[1])
        greatest = np.maximum(greatest, np.where(leftmost < 0, -leftmost, 0.0).max(axis=1))
    return greatest


def depth_rows(training: Training, *, grid: int = 200) -> list[dict[str, Any]]:
    """Return one JSON object a seed of a finished training.

    `inverse_critical_step_on_data` is taken at held-out points, `..._on_square` at a 50 x 50 grid of [-R, R]^2.
    """
    setting = training.setting
    exact = training.parameters.astype(np.float64)
    field = VelocityField(exact)
    data, labels = draw_training_data(setting, training.seeds, Purpose.HELD_OUT_DATA, HELD_OUT)
    points = data.astype(np.float64)
    accuracy = ((classify(exact, points) > 0) == (labels > 0.5)).mean(axis=1)
    radius = setting.spirals.radius
    map_ = determinant_map(field, radius, side=grid)
    on_data = largest_inverse_critical_step(field, points)
    line = radius * np.linspace(-1, 1, 50)
    square = np.stack([axis.ravel() for axis in np.meshgrid(line, line)])[None]
    on_square = largest_inverse_critical_step(field, square)
    return [
        {
            "network": setting.network,
            "depth": setting.architecture.steps,
            "seed": seed,
            "accuracy": float(accuracy[row]),
            "determinant_least": float(map_.least[row]),
            "determinant_greatest": float(map_.greatest[row]),
            "inverse_critical_step_on_data": float(on_data[row]),
            "inverse_critical_step_on_square": float(on_square[row]),
        }
        for row, seed in enumerate(training.seeds)
    ]
