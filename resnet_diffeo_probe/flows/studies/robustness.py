"""Adversarial steps on the spirals: section 4.3 calls regularity 'critical for adversarial robustness'."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.studies.boundary import logit_and_gradient
from resnet_diffeo_probe.flows.training.accuracy import classify

__all__ = ["accuracy_under_attack"]

Array = NDArray[np.floating[Any]]


def accuracy_under_attack(
    parameters: Parameters, points: Array, labels: Array, size: float, *, steps: int = 10
) -> Array:
    """Return the accuracy, (S,), when every point is moved by at most `size` to be misclassified.

    Projected gradient steps in the Euclidean norm on the logit; a point counts as fooled when any state
    on the way is misclassified. An attack that finds nothing proves nothing: the accuracy is an upper bound.

    Args:
        parameters: S networks, float64.
        points: (S, 2, B).
        labels: (S, B), 0 or 1.
        size: radius of the ball around each point, in the unit of the data.
        steps: gradient steps, each 2.5 size / steps long.
    """
    away = np.where(labels > 0.5, -1.0, 1.0)[:, None, :]
    x = points
    right = (classify(parameters, x) > 0) == (labels > 0.5)
    for _ in range(steps):
        _, gradient = logit_and_gradient(parameters, x)
        norm = np.linalg.norm(gradient, axis=1, keepdims=True)
        x = x + away * (2.5 * size / steps) * gradient / np.maximum(norm, 1e-300)
        moved = x - points
        far = np.linalg.norm(moved, axis=1, keepdims=True)
        x = points + moved * np.minimum(1.0, size / np.maximum(far, 1e-300))
        right &= (classify(parameters, x) > 0) == (labels > 0.5)
    return np.asarray(right.mean(axis=1))
