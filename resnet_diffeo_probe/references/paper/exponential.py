"""exp(V) of the shipped stationary fields against phi(1/2^n) composed 2^n times (section 3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.integration.exponential import composed, exponential
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.paper.tables import summary
from resnet_diffeo_probe.references.weights import shipped_weights

__all__ = ["HALVINGS", "composition_errors"]

HALVINGS = (2, 3, 4, 5, 6, 8, 10)
SEEDS = 8
POINTS = 200


def composition_errors(setting: str, *, seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Return one row a network (b, c, d), scheme and n.

    `error` sums up, over the first good seeds, each seed's median over held-out points of
    ||phi(1/2^n)^(2^n) x - exp(V) x|| / ||x||, where phi(1/2^n) is one step of the scheme.
    """
    rows = []
    for letter in "bcd":
        networks = shipped_weights(setting, letter)
        good = shipped_references(setting)["networks"][letter]["good_seeds"][:seeds]
        chosen = networks.parameters.select([networks.seeds.index(seed) for seed in good])
        field = VelocityField(chosen.astype(np.float64))
        x = draw_training_data(networks.setting, good, Purpose.HELD_OUT_DATA, POINTS)[0].astype(np.float64)
        exact, size = exponential(field, x), np.linalg.norm(x, axis=1)
        for scheme in ("euler", "rk4"):
            for n in HALVINGS if scheme == "euler" else HALVINGS[:5]:
                miss = composed(field, x, halvings=n, scheme=scheme) - exact
                error = np.median(np.linalg.norm(miss, axis=1) / size, axis=1)
                rows.append(
                    {"network": letter, "scheme": scheme, "halvings": n, "error": summary(error.tolist())}
                )
    return rows
