"""Is a trained spiral map a diffeomorphism of the square onto its image? A proof, or what is left open.

If det J has one sign on the closed square, the map is a local diffeomorphism; if it is also injective on the
square's boundary, the boundary's image is a Jordan curve and, by the degree, every point inside it is
reached exactly once: the map is a diffeomorphism onto its image. Two points of certain opposite sign
prove the contrary on every connected open set that holds both, by invariance of domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.certification.boundary_injectivity import BoundaryProof, injective_on_boundary
from resnet_diffeo_probe.flows.certification.collision import Collision, colliding_pair
from resnet_diffeo_probe.flows.certification.enclosure import EnclosedMap
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = ["Certificate", "MapVerdict", "certify"]

Array = NDArray[np.float64]

FIRST_SIDE = 64
ROUNDING = 1.0 + 1e-12  # boxes are made a little larger than their share, so that they cover the square


class MapVerdict(StrEnum):
    """What was proven of the map on the square."""

    DIFFEOMORPHISM = "diffeomorphism onto its image"
    FOLDS = "not injective"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The verdict with its evidence; rounding is bounded, so that a verdict other than undecided is a proof.

    Attributes:
        verdict: what was proven.
        radius: the square is [-radius, radius]^2.
        sign: the certain sign of det over the whole square, 0 where there is none.
        boxes: boxes examined.
        open_area: share of the square whose sign is not certain.
        positive_area: share whose sign is certainly positive.
        negative_area: share whose sign is certainly negative.
        witness: two points (2, 2), as rows, the first of certain positive, the second of certain negative
            sign.
        boundary: the proof on the boundary, where it was tried.
        reason: one sentence for people.
    """

    verdict: MapVerdict
    radius: float
    sign: int
    boxes: int
    open_area: float
    positive_area: float
    negative_area: float
    witness: Array | None
    collision: Collision | None
    boundary: BoundaryProof | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as JSON types."""
        return {
            "verdict": self.verdict.value,
            "domain": f"[-{self.radius:g}, {self.radius:g}]^2",
            "arithmetic": "float64, rounding bounded",
            "sign": self.sign,
            "boxes": self.boxes,
            "open_area": self.open_area,
            "positive_area": self.positive_area,
            "negative_area": self.negative_area,
            "witness": None if self.witness is None else self.witness.tolist(),
            "collision": None if self.collision is None else self.collision.to_json(),
            "boundary_segments": None if self.boundary is None else self.boundary.segments,
            "boundary_open_pairs": None if self.boundary is None else self.boundary.open_pairs,
            "reason": self.reason,
        }


def certify(
    parameters: Parameters,
    radius: float,
    *,
    most_boxes: int = 400_000,
    whole: bool = False,
    hints: Array | None = None,
) -> Certificate:
    """Decide by branch and bound on the sign of det, then on the boundary.

    Args:
        parameters: one tanh network with one hidden layer (S = 1).
        radius: half side of the square.
        most_boxes: boxes to examine at most; what is open then is reported.
        whole: go on after the first pair of opposite signs, to measure the areas.
        hints: (points, 2) places of the square where a sign is suspected to differ; they are tried first.

    Raises:
        ConfigurationError: another kind of network, or a radius or number of boxes that is not positive.
    """
    if not radius > 0 or most_boxes < 1:
        raise ConfigurationError(
            f"certification of radius {radius} with {most_boxes} boxes", why="both must be positive"
        )
    network = EnclosedMap(parameters)
    centre, half = _first_boxes(radius)
    boxes = 0
    area = {1: 0.0, -1: 0.0}
    seen: dict[int, Array] = {}
    if hints is not None:
        _look_at_points(network, np.asarray(hints, dtype=np.float64).T, seen)
    while centre.shape[1] and boxes + centre.shape[1] <= most_boxes:
        boxes += centre.shape[1]
        sign = network.enclose(centre, half * ROUNDING).sign
        share = np.prod(half / radius, axis=0)
        for value in (1, -1):
            area[value] += float(share[sign == value].sum())
            if value not in seen and (sign == value).any():
                seen[value] = centre[:, np.argmax(sign == value)]
        centre, half = centre[:, sign == 0], half[:, sign == 0]
        if len(seen) < 2:
            # a fold narrower than its boxes shows at points first
            _look_at_points(network, centre, seen)
        if len(seen) == 2 and not whole:
            break
        centre, half = _quarter(centre, half)
    open_area = float(np.prod(half / radius, axis=0).sum())
    covered = _Covered(radius, boxes, open_area, area[1], area[-1])
    if len(seen) == 2:
        witness = _verified(network, np.stack([seen[1], seen[-1]]))
        reason = "det J is certainly positive at one point of the square and certainly negative at another"
        collision = colliding_pair(parameters, *witness, within=radius)
        return covered.certificate(MapVerdict.FOLDS, reason, witness=witness, collision=collision)
    if centre.shape[1]:
        reason = f"the sign of det J is open on {open_area:.2g} of the square after {boxes} boxes"
        return covered.certificate(MapVerdict.UNDECIDED, reason)
    sign_everywhere = next(iter(seen))
    boundary = injective_on_boundary(network, radius)
    if boundary.proven:
        verdict = MapVerdict.DIFFEOMORPHISM
        reason = "det J has one sign on the whole square, and the map is injective on its boundary"
    else:
        verdict = MapVerdict.UNDECIDED
        reason = (
            "det J has one sign on the whole square, but injectivity on the boundary is open for "
            f"{boundary.open_pairs} pairs of its {boundary.segments} pieces"
        )
    return covered.certificate(verdict, reason, sign=sign_everywhere, boundary=boundary)


@dataclass(frozen=True, slots=True)
class _Covered:
    """How far branch and bound came."""

    radius: float
    boxes: int
    open_area: float
    positive_area: float
    negative_area: float

    def certificate(
        self,
        verdict: MapVerdict,
        reason: str,
        *,
        sign: int = 0,
        witness: Array | None = None,
        collision: Collision | None = None,
        boundary: BoundaryProof | None = None,
    ) -> Certificate:
        return Certificate(
            verdict,
            self.radius,
            sign,
            self.boxes,
            self.open_area,
            self.positive_area,
            self.negative_area,
            witness,
            collision,
            boundary,
            reason,
        )


def _look_at_points(network: EnclosedMap, points: Array, seen: dict[int, Array]) -> None:
    """Add a point of each certain sign that is not among those seen."""
    if points.shape[1] == 0:
        return
    sign = network.enclose(points, np.zeros_like(points)).sign
    for value in (1, -1):
        if value not in seen and (sign == value).any():
            seen[value] = points[:, np.argmax(sign == value)]


def _first_boxes(radius: float) -> tuple[Array, Array]:
    cell = radius / FIRST_SIDE
    line = (2 * np.arange(FIRST_SIDE) + 1 - FIRST_SIDE) * cell
    x, y = np.meshgrid(line, line)
    centre = np.stack([x.ravel(), y.ravel()])
    return centre, np.full_like(centre, cell)


def _quarter(centre: Array, half: Array) -> tuple[Array, Array]:
    smaller = half / 2
    moves = [(i, j) for i in (-1, 1) for j in (-1, 1)]
    centres = [centre + np.array(move)[:, None] * smaller for move in moves]
    return np.concatenate(centres, axis=1), np.concatenate([smaller] * len(moves), axis=1)


def _verified(network: EnclosedMap, witness: Array) -> Array:
    """Check the two points once more, as points."""
    sign = network.enclose(witness.T, np.zeros((2, 2))).sign
    if tuple(sign) != (1, -1):
        raise AssertionError(f"a box of certain sign has a centre of sign {sign.tolist()}")
    return witness
