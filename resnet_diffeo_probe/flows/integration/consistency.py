"""Inverse consistency (eq. 9): how far phi(-1) is from undoing phi(1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.integration.integrate import flow

__all__ = ["inverse_consistency"]

Array = NDArray[np.floating[Any]]


def inverse_consistency(
    field: VelocityField, x: Array, *, steps: int | None = None, scheme: str = "euler", first: str = "forward"
) -> Array:
    """Return ||phi(-1) phi(1) x - x||, (S, B), with the same scheme both ways.

    Args:
        field: S velocity fields.
        x: (S, 2, B) or (1, 2, B) points.
        steps: integration steps each way.
        scheme: as in `flow`; "euler" backwards is y - F(y), the paper's phi(-1).
        first: "forward" as written above, "backward" for phi(1) phi(-1), the other half of eq. 9.
    """
    backwards = first == "backward"
    there = flow(field, x, steps=steps, scheme=scheme, backwards=backwards)
    back = flow(field, there, steps=steps, scheme=scheme, backwards=not backwards)
    return np.asarray(np.linalg.norm(back - x, axis=1))
