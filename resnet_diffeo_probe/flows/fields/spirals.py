"""Two interleaved spirals in the plane: the data of section 4.1, whose generator the paper leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["Spirals", "draw_spirals"]


@dataclass(frozen=True, slots=True)
class Spirals:
    """How the two spirals are drawn.

    A point of class k in {0, 1} is ``R ((r cos t, r sin t) + noise N(0, I))`` with ``r = 0.1 + 0.9 sqrt(u)``,
    ``t = 2 pi turns sqrt(u) + k pi`` and u uniform in [0, 1]; the square root spreads the points evenly
    along the outer turns.

    Attributes:
        radius: R, the length of the outer end's position vector; it is the unit of the penalties' weight too.
        turns: whole turns from the inner end to the outer one.
        noise: standard deviation of the isotropic noise, as a share of R.
    """

    radius: float = 3.0
    turns: float = 0.75
    noise: float = 0.02

    def __post_init__(self) -> None:
        for name, value, least in (("radius", self.radius, 0.0), ("turns", self.turns, 0.0)):
            if not value > least:
                raise ConfigurationError(
                    f"spirals: {name} is {value}", why="it must be positive", fix=f"give a {name} above 0"
                )
        if self.noise < 0:
            raise ConfigurationError(f"spirals: noise is {self.noise}", why="it cannot be negative")

    def centre_line(self, label: int, count: int) -> NDArray[np.float64]:
        """Return `count` noiseless points of one spiral, inner end first, shape (2, count), float64."""
        return self._place(np.linspace(0.0, 1.0, count), np.full(count, label, dtype=np.float64))

    def _place(self, root: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = 0.1 + 0.9 * root
        angle = 2.0 * np.pi * self.turns * root + np.pi * label
        return self.radius * np.stack([distance * np.cos(angle), distance * np.sin(angle)])


def draw_spirals(
    spirals: Spirals, points: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw points of both classes, half and half (an odd count gives class 0 one more).

    Args:
        spirals: the shape of the spirals.
        points: number of points.
        rng: source of chance.

    Returns:
        Positions (2, points) and labels (points,) in {0, 1}, both float64, class 0 first.

    Raises:
        ConfigurationError: fewer than two points.
    """
    if points < 2:
        raise ConfigurationError(
            f"spirals: {points} points", why="each class needs one", fix="ask for at least 2"
        )
    label = (np.arange(points) >= points - points // 2).astype(np.float64)
    root = np.sqrt(rng.random(points))
    noise = spirals.noise * spirals.radius * rng.standard_normal((2, points))
    return spirals._place(root, label) + noise, label
