"""The measures of every unit of trained spiral networks at data points, in closed form."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.plane import (
    determinant,
    identity,
    leftmost_real_eigenvalue,
    singular_values,
)
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.integration.integrate import flow_states
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references.quantities import QUANTITIES

__all__ = ["DATA_POINTS", "summarise", "unit_values"]

Array = NDArray[np.floating[Any]]

DATA_POINTS = 400  # held-out points a seed


def unit_values(
    setting: Setting, parameters: Parameters, seeds: tuple[int, ...], *, points: int = DATA_POINTS
) -> dict[str, Array]:
    """Measure every unit where the held-out points of the network's own seed pass through it.

    Args:
        setting: gives the spirals.
        parameters: S trained networks.
        seeds: their seeds, which draw the points.
        points: points a seed.

    Returns:
        For every name in `QUANTITIES` an array (S, units, points), float64. `negative_share` holds 1 where
        det J < 0 and 0 elsewhere, before any mean. A singular J has a log|det| of minus infinity.
    """
    field = VelocityField(parameters.astype(np.float64))
    data = draw_training_data(setting, seeds, Purpose.HELD_OUT_DATA, points)[0].astype(np.float64)
    states = flow_states(field, data)
    found: dict[str, list[Array]] = {name: [] for name in QUANTITIES}
    for step, (x, y) in enumerate(pairwise(states)):
        index = field.index(step)
        velocity, slope = field.with_jacobian(x, index)
        jacobian = identity(slope.shape[0], slope.shape[3], np.float64) + slope
        det = determinant(jacobian)
        size = np.linalg.norm(x, axis=1)
        back = y - field(y, index)
        leftmost = leftmost_real_eigenvalue(slope)
        with np.errstate(divide="ignore"):
            found["logabsdet_per_dimension"].append(np.log(np.abs(det)) / 2)
        found["negative_share"].append((det < 0).astype(np.float64))
        found["sigma_min"].append(singular_values(jacobian)[1])
        found["inverse_critical_step"].append(np.where(leftmost < 0, -leftmost, 0.0))
        found["residual_ratio"].append(np.linalg.norm(velocity, axis=1) / size)
        found["inverse_consistency"].append(np.linalg.norm(back - x, axis=1) / size)
    return {name: np.stack(rows, axis=1) for name, rows in found.items()}


def summarise(values: dict[str, Array]) -> dict[str, Array]:
    """Sum up over the points, the last axis: the mean or the median, as the quantity says."""
    return {
        name: np.asarray(
            array.mean(axis=-1) if QUANTITIES[name].summary == "mean" else np.median(array, axis=-1)
        )
        for name, array in values.items()
    }
