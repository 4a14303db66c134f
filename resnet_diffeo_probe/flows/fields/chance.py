"""Sources of chance, one for each seed, purpose and epoch.

Nothing of a generator's state has to be stored: an interrupted training that goes on draws what it would have
drawn, and a seed trained alone draws what it draws among others.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Purpose", "source"]


class Purpose(IntEnum):
    """What the numbers are for."""

    WEIGHTS = 0
    TRAINING_DATA = 1
    HELD_OUT_DATA = 2
    EPOCH = 3
    ATTACK = 4


def source(purpose: Purpose, seed: int, epoch: int = 0) -> np.random.Generator:
    """Return the generator of that purpose, seed and epoch, always at its beginning."""
    return np.random.default_rng([int(purpose), seed, epoch])
