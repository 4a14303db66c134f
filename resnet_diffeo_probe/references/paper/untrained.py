"""How much of a network's fold was there before any training."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map
from resnet_diffeo_probe.flows.training.training import start_training
from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.weights import shipped_weights

__all__ = ["untrained_signs"]


def untrained_signs(setting: str, *, side: int = 100) -> list[dict[str, Any]]:
    """Count the seeds whose determinant is negative somewhere on the square, before and after training.

    Returns:
        One row a network with `seeds`, `untrained_negative`, `trained_negative` and `both`, over all seeds.
    """
    rows = []
    for letter in NETWORKS:
        networks = shipped_weights(setting, letter)
        untrained = start_training(networks.setting, networks.seeds).parameters.astype(np.float64)
        map_ = determinant_map(VelocityField(untrained), networks.setting.spirals.radius, side=side)
        before = map_.least < 0
        maps = shipped_references(setting)["networks"][letter]["maps"]
        after = np.array([m["determinant_least"] < 0 for m in maps])
        rows.append(
            {
                "network": letter,
                "seeds": len(networks.seeds),
                "untrained_negative": int(before.sum()),
                "trained_negative": int(after.sum()),
                "both": int((before & after).sum()),
            }
        )
    return rows
