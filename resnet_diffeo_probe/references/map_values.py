"""The measures of whole spiral maps: one number a seed, with the proof or refutation of bijectivity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.certification.certify import Certificate, MapVerdict, certify
from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.plane import determinant, singular_values
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.integration.consistency import inverse_consistency
from resnet_diffeo_probe.flows.integration.exponential import group_error
from resnet_diffeo_probe.flows.integration.integrate import flow_with_jacobian
from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map, square_grid, torn_share
from resnet_diffeo_probe.flows.studies.boundary import boundary_of
from resnet_diffeo_probe.flows.studies.robustness import accuracy_under_attack
from resnet_diffeo_probe.flows.training.accuracy import classify
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references.unit_values import DATA_POINTS

__all__ = ["ATTACK_SIZES", "map_values"]

GRID = 200
MEASURING, DECIDING = 100_000, 450_000  # boxes
ATTACK_SIZES = (0.15, 0.3)  # in the unit of the data: 0.05 and 0.1 of R = 3
HELD_OUT = 10_000


def map_values(
    setting: Setting, parameters: Parameters, seeds: tuple[int, ...], *, grid: int = GRID
) -> list[dict[str, Any]]:
    """Measure whole maps on [-R, R]^2 and on held-out points.

    Args:
        setting: gives the spirals and R.
        parameters: S trained networks.
        seeds: their seeds.
        grid: cells a side of the square's grid.

    Returns:
        One JSON object a seed. Lengths are in the unit of the data; "relative" errors are divided by ||x||.
    """
    exact = parameters.astype(np.float64)
    field = VelocityField(exact)
    radius = setting.spirals.radius
    drawn, labels = draw_training_data(setting, seeds, Purpose.HELD_OUT_DATA, HELD_OUT)
    accuracy = ((classify(exact, drawn.astype(np.float64)) > 0) == (labels > 0.5)).mean(axis=1)
    # the first points drawn are all of class 0: take every so many, to have both
    stride = HELD_OUT // DATA_POINTS
    data, marks = drawn[:, :, ::stride].astype(np.float64), labels[:, ::stride]
    jacobian = flow_with_jacobian(field, data)[1]
    map_ = determinant_map(field, radius, side=grid)
    square = square_grid(radius, 50)
    on_data = inverse_consistency(field, data) / np.linalg.norm(data, axis=1)
    on_square = inverse_consistency(field, square) / np.linalg.norm(square, axis=1)
    group = group_error(field, data) / np.linalg.norm(data, axis=1) if field.stationary else None
    attacked = {size: accuracy_under_attack(exact, data, marks, size) for size in ATTACK_SIZES}
    rows = []
    for row, seed in enumerate(seeds):
        one = exact.select([row])
        boundary = boundary_of(one, radius)
        distance = boundary.distance(data[row])
        rows.append(
            {
                "seed": seed,
                "accuracy": float(accuracy[row]),
                "determinant_least": float(map_.least[row]),
                "determinant_greatest": float(map_.greatest[row]),
                "negative_share_of_square": float((map_.values[row] < 0).mean()),
                "torn_share_of_square": float(torn_share(map_.values[row : row + 1])[0]),
                "logabsdet_per_dimension": float(
                    np.median(np.log(np.maximum(np.abs(determinant(jacobian)[row]), 1e-300)) / 2)
                ),
                "sigma_min": float(np.median(singular_values(jacobian)[1][row])),
                "inverse_consistency_on_data": _finite(np.median(on_data[row])),
                "inverse_consistency_on_square": _finite(np.median(on_square[row])),
                "group_error_on_data": None if group is None else _finite(np.median(group[row])),
                "boundary_length": boundary.length,
                "boundary_curvature": boundary.curvature,
                "distance_to_boundary_least": _finite(distance.min()),
                "distance_to_boundary_median": _finite(np.median(distance)),
                "accuracy_under_attack": {f"{size:g}": float(attacked[size][row]) for size in ATTACK_SIZES},
                "certificate": _certificate(
                    one, radius, map_.least_at[row : row + 1].astype(np.float64)
                ).to_json(),
            }
        )
    return rows


def _certificate(parameters: Parameters, radius: float, suspect: NDArray[np.float64]) -> Certificate:
    """Measure the areas of both signs where there are both, spend more boxes where nothing is decided."""
    first = certify(parameters, radius, whole=True, most_boxes=MEASURING, hints=suspect)
    if first.verdict is not MapVerdict.UNDECIDED or first.open_area == 0:
        return first
    return certify(parameters, radius, most_boxes=DECIDING, hints=suspect)


def _finite(value: Any) -> float | None:
    """Return a float for JSON, None where the number is infinite or undefined."""
    return float(value) if np.isfinite(value) else None
