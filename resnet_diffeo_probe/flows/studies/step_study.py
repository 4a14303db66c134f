"""Study 1: one trained field, integrated with other steps and schemes: does the classifier survive?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.plane import determinant
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.integration.integrate import flow, flow_with_jacobian
from resnet_diffeo_probe.flows.integration.jacobian_map import square_grid
from resnet_diffeo_probe.flows.training.accuracy import logits_of
from resnet_diffeo_probe.flows.training.training import draw_training_data

__all__ = ["STEPS", "STUDIED_SCHEMES", "step_rows"]

STEPS = (5, 10, 20, 40, 80, 160, 320, 640)
#: Scheme -> the greatest number of steps that is worth its price.
STUDIED_SCHEMES = {"euler": 640, "midpoint": 320, "rk4": 160, "implicit-midpoint": 80, "adaptive": 20}
HELD_OUT = 400
GRID = 50


def step_rows(
    setting: Setting,
    parameters: Parameters,
    seeds: tuple[int, ...],
    *,
    schemes: dict[str, int] | None = None,
    grid: int = GRID,
) -> list[dict[str, Any]]:
    """Integrate trained fields with every scheme and number of steps.

    A time-varying field is integrated with multiples of its number of fields only. The adaptive scheme controls
    its own steps, so that it has one row: the trained number, from which each step is refined.

    Args:
        setting: gives the spirals.
        parameters: S trained networks.
        seeds: their seeds.
        schemes: scheme -> greatest number of steps; `STUDIED_SCHEMES` by default.
        grid: points a side of the square's grid, on which the least determinant is taken.

    Returns:
        One JSON object a seed, scheme and number of steps: `accuracy` on held-out points of the trained linear
        classifier after the re-integrated flow, `agreement` with the trained network's own answers, and
        `determinant_least` on the grid; None where the scheme has no finite value somewhere.
    """
    field = VelocityField(parameters.astype(np.float64))
    data, labels = draw_training_data(setting, seeds, Purpose.HELD_OUT_DATA, HELD_OUT)
    points = data.astype(np.float64)
    square = square_grid(setting.spirals.radius, grid)
    own = logits_of(field.parameters, flow(field, points)) > 0
    rows: list[dict[str, Any]] = []
    for scheme, most in (STUDIED_SCHEMES if schemes is None else schemes).items():
        for steps in (field.steps,) if scheme == "adaptive" else (n for n in STEPS if n <= most):
            if not field.stationary and steps % field.steps:
                continue
            answers = logits_of(field.parameters, flow(field, points, steps=steps, scheme=scheme))
            finite = np.isfinite(answers)
            right = finite & ((answers > 0) == (labels > 0.5))
            same = finite & ((answers > 0) == own)
            det = determinant(flow_with_jacobian(field, square, steps=steps, scheme=scheme)[1])
            rows += [
                {
                    "network": setting.network,
                    "seed": seed,
                    "scheme": scheme,
                    "steps": steps,
                    "accuracy": float(right[row].mean()),
                    "agreement": float(same[row].mean()),
                    "determinant_least": _least(det[row]),
                }
                for row, seed in enumerate(seeds)
            ]
    return rows


def _least(values: NDArray[np.floating[Any]]) -> float | None:
    return float(values.min()) if np.isfinite(values).all() else None
