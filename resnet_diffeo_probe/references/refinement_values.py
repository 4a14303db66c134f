"""The refinement test on the spirals themselves: what it says of networks whose relation to their flow is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.integration.integrate import flow
from resnet_diffeo_probe.flows.training.accuracy import logits_of
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references.unit_values import DATA_POINTS

__all__ = ["REFINEMENTS", "refinement_values"]

#: Scheme and sub-steps of every unit, as `flows.refinement.PLANNED` has them.
REFINEMENTS = (("euler", 2), ("euler", 4), ("euler", 8), ("rk4", 1))


def refinement_values(
    setting: Setting, parameters: Parameters, seeds: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Refine all units of every network together, at held-out points.

    Args:
        setting: gives the spirals.
        parameters: S trained networks.
        seeds: their seeds.

    Returns:
        One JSON object a refinement: `scheme`, `steps`, and one number a seed in `agreement` (share of points
        whose answer stays), `accuracy` and `logit_change` (median of |z' - z| / |z|).
    """
    field = VelocityField(parameters.astype(np.float64))
    data, labels = draw_training_data(setting, seeds, Purpose.HELD_OUT_DATA, DATA_POINTS)
    points = data.astype(np.float64)
    before = logits_of(field.parameters, flow(field, points))
    rows = []
    for scheme, steps in REFINEMENTS:
        after = logits_of(field.parameters, flow(field, points, steps=steps * field.steps, scheme=scheme))
        same = (after > 0) == (before > 0)
        right = (after > 0) == (labels > 0.5)
        change = np.median(np.abs(after - before) / np.abs(before), axis=1)
        rows.append(
            {
                "scheme": scheme,
                "steps": steps,
                "agreement": [float(v) for v in same.mean(axis=1)],
                "accuracy": [float(v) for v in right.mean(axis=1)],
                "logit_change": [float(f"{v:.4g}") for v in change],
            }
        )
    return rows
