"""Make the shipped references from trained weights."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.references.map_values import map_values
from resnet_diffeo_probe.references.quantities import QUANTITIES
from resnet_diffeo_probe.references.refinement_values import refinement_values
from resnet_diffeo_probe.references.unit_values import DATA_POINTS, summarise, unit_values
from resnet_diffeo_probe.references.weights import TrainedNetworks

__all__ = ["PROBABILITIES", "THRESHOLD", "network_reference", "provenance"]

THRESHOLD = 0.99  # the paper: "in all the experiments ... the classification rate is greater than 99%"
PROBABILITIES = tuple(
    float(p)
    for p in np.round(np.concatenate([[0, 0.001, 0.005], np.linspace(0.01, 0.99, 99), [0.995, 0.999, 1]]), 4)
)
DIGITS = 5


def network_reference(networks: TrainedNetworks) -> dict[str, Any]:
    """Return the reference of one network as a JSON object.

    Args:
        networks: all seeds of it. Those at or below `THRESHOLD` held-out accuracy are listed among
            `maps`, and left out of the distributions: a collapsed network is no reference for a good one.

    Returns:
        `maps`: one object a seed; `units`: for every quantity the summaries of every unit of every good seed,
        one list a seed; `points`: for every quantity the quantiles over (seed, unit, data point);
        `refinement`: the refinement test of all units together, one number a good seed.
    """
    maps = map_values(networks.setting, networks.parameters, networks.seeds)
    good = [row for row, one in enumerate(maps) if one["accuracy"] > THRESHOLD]
    seeds = tuple(networks.seeds[row] for row in good)
    chosen = networks.parameters.select(good)
    values = unit_values(networks.setting, chosen, seeds)
    return {
        "setting": networks.setting.to_json(),
        "seeds": list(networks.seeds),
        "good_seeds": list(seeds),
        "data_points": DATA_POINTS,
        "units": {name: _rounded(array) for name, array in summarise(values).items()},
        "points": {name: _quantiles(values[name]) for name in QUANTITIES},
        "refinement": refinement_values(networks.setting, chosen, seeds),
        "maps": maps,
    }


def provenance(command: str) -> dict[str, str]:
    """Return what made the numbers: the command and the versions."""
    return {"command": command, "python": platform.python_version(), "numpy": np.__version__}


def _quantiles(values: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Return quantiles of the finite values, with the number of all and of the infinite ones."""
    finite = values[np.isfinite(values)]
    return {
        "count": int(values.size),
        "infinite": int(values.size - finite.size),
        "quantiles": _rounded(np.quantile(finite, PROBABILITIES)),
    }


def _rounded(values: NDArray[np.floating[Any]]) -> Any:
    """Return nested lists of numbers with few digits; None for what is not finite."""
    if values.ndim:
        return [_rounded(row) for row in values]
    number = float(values)
    return float(f"{number:.{DIGITS}g}") if np.isfinite(number) else None
