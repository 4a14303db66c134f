"""How well trained networks classify points that they were not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.integration.integrate import flow
from resnet_diffeo_probe.flows.training.training import Training, draw_training_data

__all__ = ["classify", "held_out_accuracy", "logits_of"]

Array = NDArray[np.floating[Any]]


def logits_of(parameters: Parameters, mapped: Array) -> Array:
    """Return the linear classifier's logits, (S, B), at points that the flow has mapped, (S, 2, B)."""
    readout = parameters.readout
    return (np.matmul(readout[:, :, :PLANE], mapped) + readout[:, :, PLANE:])[:, 0]


def classify(parameters: Parameters, points: Array) -> Array:
    """Return the trained networks' logits, (S, B), at points (S, 2, B) or (1, 2, B)."""
    return logits_of(parameters, flow(VelocityField(parameters), points))


def held_out_accuracy(training: Training, points: int = 10_000) -> NDArray[np.float64]:
    """Return the share of fresh points of each seed's spirals that its network classifies rightly, (S,)."""
    drawn, labels = draw_training_data(training.setting, training.seeds, Purpose.HELD_OUT_DATA, points)
    logits = classify(training.parameters, drawn)
    return np.asarray(((logits > 0) == (labels > 0.5)).mean(axis=1))
