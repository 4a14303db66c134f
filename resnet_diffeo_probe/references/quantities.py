"""The measures that compare across dimensions, and the scale on which two values are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.measures.record.reference import Reference
from resnet_diffeo_probe.measures.registry import MEASURES

__all__ = ["QUANTITIES", "on_scale"]

Array = NDArray[np.floating[Any]]

SMALLEST = 1e-16  # below it a positive number is rounding; its logarithm would only stretch the scale

#: By their keys in the JSON.
QUANTITIES: dict[str, Reference] = {m.reference.key: m.reference for m in MEASURES if m.reference is not None}


def on_scale(reference: Reference, values: Array) -> Array:
    """Return values of a quantity where their differences are comparable."""
    return np.log10(np.maximum(values, SMALLEST)) if reference.log else values
