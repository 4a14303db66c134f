"""Two different points of the plane with one image, proven by interval Newton, next to a fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.certification.enclosure import INFLATE, EnclosedMap
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.plane import determinant
from resnet_diffeo_probe.flows.integration.integrate import flow_with_jacobian

__all__ = ["Collision", "colliding_pair"]

Array = NDArray[np.float64]

BISECTIONS = 60
NEWTON_STEPS = 30
DISTANCES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001)  # from the fold, in the unit of the data
RADII = (1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7)


@dataclass(frozen=True, slots=True)
class Collision:
    """A proven pair.

    Attributes:
        first: (2,) a point, exactly.
        second: (2,) the middle of a box; the point with the same image lies in it, and `first` does not.
        radius: half side of that box.
        distance: ||first - second||.
        image_distance: ||phi(first) - phi(second)|| in floating point, for people.
    """

    first: Array
    second: Array
    radius: float
    distance: float
    image_distance: float

    def to_json(self) -> dict[str, Any]:
        """Return the pair as JSON types."""
        return {
            "first": self.first.tolist(),
            "second": self.second.tolist(),
            "radius": self.radius,
            "distance": self.distance,
            "image_distance": self.image_distance,
        }


def colliding_pair(
    parameters: Parameters, positive: Array, negative: Array, *, within: float = np.inf
) -> Collision | None:
    """Look for a pair on both sides of the fold between two points of opposite sign, and prove it.

    Bisection on the sign finds a point of the fold; from a point beside it, along the null vector of its Jacobian,
    Newton finds the point on the other side with the same image, and Krawczyk's operator proves that there is one.

    Args:
        parameters: one tanh network with one hidden layer (S = 1).
        positive: (2,) a point where det J > 0.
        negative: (2,) one where det J < 0.
        within: half side of the square that both points must lie in.

    Returns:
        The pair with the greatest distance among those tried, None where none could be proven.
    """
    exact = parameters.astype(np.float64)
    network = EnclosedMap(parameters)
    for _ in range(BISECTIONS):
        middle = (positive + negative) / 2
        if determinant(_map(exact, middle)[1])[0, 0] > 0:
            positive = middle
        else:
            negative = middle
    fold = (positive + negative) / 2
    null = np.linalg.svd(_map(exact, fold)[1][0, :, :, 0])[2][-1]
    for distance in DISTANCES:
        for side in (1.0, -1.0):
            first = fold + side * distance * null
            second = _solve(exact, _map(exact, first)[0], fold - side * distance * null)
            if second is None or np.linalg.norm(second - first) < distance / 10:
                continue
            if max(np.abs(first).max(), np.abs(second).max() + RADII[-1]) > within:
                continue
            radius = _proven_radius(network, exact, first, second)
            if radius is not None:
                apart = np.linalg.norm(_map(exact, first)[0] - _map(exact, second)[0])
                return Collision(first, second, radius, float(np.linalg.norm(first - second)), float(apart))
    return None


def _map(parameters: Parameters, point: Array) -> tuple[Array, Array]:
    """Return the image, (2,), and the Jacobian, (1, 2, 2, 1)."""
    image, jacobian = flow_with_jacobian(VelocityField(parameters), point.reshape(1, 2, 1))
    return np.asarray(image[0, :, 0], dtype=np.float64), np.asarray(jacobian, dtype=np.float64)


def _solve(parameters: Parameters, target: Array, start: Array) -> Array | None:
    """Solve phi(x) = target by Newton; None where it does not converge."""
    x = start
    for _ in range(NEWTON_STEPS):
        image, jacobian = _map(parameters, x)
        try:
            move = np.linalg.solve(jacobian[0, :, :, 0], target - image)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(move).all():
            return None
        x = x + move
        if np.abs(move).max() < 1e-14 * (1 + np.abs(x).max()):
            return x
    return x if np.abs(move).max() < 1e-9 else None


def _proven_radius(network: EnclosedMap, parameters: Parameters, first: Array, second: Array) -> float | None:
    """Return a half side r such that phi(x) = phi(first) has a solution within r of `second`, None if none is proven.

    Krawczyk: with Y near the inverse Jacobian, ``|Y (phi(m) - t)| + |I - Y J(X)| r < r`` in both coordinates makes
    ``x -> x - Y (phi(x) - t)`` map the box X = m + [-r, r] into itself, so that it has a fixed point (Brouwer).
    """
    points = network.enclose(np.stack([first, second], axis=1), np.zeros((2, 2)))
    gap = points.centre[:, 1] - points.centre[:, 0]
    reach = points.hull_radius()
    gap_size = (np.abs(gap) + reach.sum(axis=1)) * INFLATE
    y = np.linalg.inv(_map(parameters, second)[1][0, :, :, 0])
    size = np.abs(y)
    for radius in RADII:
        if np.abs(first - second).max() <= 2 * radius:
            return None
        box = network.enclose(second[:, None], np.full((2, 1), radius * (1 + 1e-12)))
        jacobian, spread = box.jacobian[:, :, 0], box.jacobian_radius[:, :, 0]
        # |I - Y J|: the middle, J's radius, and the rounding of the product
        contraction = (
            np.abs(np.eye(2) - y @ jacobian) + size @ spread + 1e-14 * (size @ np.abs(jacobian) + np.eye(2))
        ) * INFLATE
        total = (size @ gap_size) * INFLATE + contraction.sum(axis=1) * radius
        if (total * INFLATE < radius).all():
            return radius
    return None
