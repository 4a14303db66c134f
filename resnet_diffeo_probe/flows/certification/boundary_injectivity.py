"""Prove that a map of the plane is injective on the boundary of a square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.certification.enclosure import INFLATE, EnclosedMap, MapEnclosure

__all__ = ["BoundaryProof", "injective_on_boundary"]

Array = NDArray[np.float64]

FIRST_SEGMENTS = 64  # a side
LONGEST_RUN = 24  # neighbouring segments that may be told apart by a common direction
ROUNDS = 14
CHUNK = 512


@dataclass(frozen=True, slots=True)
class BoundaryProof:
    """What became of the proof.

    Attributes:
        proven: whether no two points of the boundary have the same image.
        segments: pieces that the boundary was cut into at the end.
        open_pairs: pairs of pieces whose images could not be told apart.
        nearest: two boundary points, (2, 2) as rows, in the middle of an open pair; None when proven.
    """

    proven: bool
    segments: int
    open_pairs: int
    nearest: Array | None


def injective_on_boundary(
    network: EnclosedMap, radius: float, *, most_segments: int = 30_000
) -> BoundaryProof:
    """Try to prove injectivity on the boundary of [-radius, radius]^2.

    The boundary is cut into segments. Two segments are told apart when their images' hulls are disjoint,
    when a line along one's tangent separates them, or, when few segments lie between them, when one direction
    has a positive component in the curve's tangent on all the way from one to the other: the curve is
    then monotone along it. Segments that are not told apart are halved.

    Args:
        network: the map with its enclosures.
        radius: half side of the square.
        most_segments: give up beyond this number.
    """
    ends = np.linspace(0.0, 4.0, 4 * FIRST_SEGMENTS + 1)  # dyadic: corners are always ends of segments
    start, stop = ends[:-1], ends[1:]
    for _ in range(ROUNDS):
        first, second = _open_pairs(network, radius, start, stop)
        if first.size == 0:
            return BoundaryProof(True, start.size, 0, None)
        halve = np.zeros(start.size, dtype=bool)
        halve[first] = halve[second] = True
        if start.size + halve.sum() > most_segments:
            break
        middle = (start + stop) / 2
        new_start = np.concatenate([start, middle[halve]])
        new_stop = np.concatenate([np.where(halve, middle, stop), stop[halve]])
        order = np.argsort(new_start)
        start, stop = new_start[order], new_stop[order]
    middles = _place((start + stop) / 2, radius)
    nearest = middles[:, [first[0], second[0]]].T
    return BoundaryProof(False, start.size, int(first.size), nearest)


def _place(position: Array, radius: float) -> Array:
    """Return boundary points, (2, B), at positions in [0, 4], counter-clockwise from the lower left."""
    side = np.minimum(position.astype(int), 3)
    along = 2 * (position - side) - 1
    x = np.choose(side, [along, np.ones_like(along), -along, -np.ones_like(along)])
    y = np.choose(side, [-np.ones_like(along), along, np.ones_like(along), -along])
    return radius * np.stack([x, y])


def _open_pairs(
    network: EnclosedMap, radius: float, start: Array, stop: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of segments, as two index arrays, that are not told apart."""
    a, b = _place(start, radius), _place(np.nextafter(stop, start), radius)
    side = np.minimum(start.astype(int), 3)
    # the end of a side is given as the position just before it, so that it belongs to this side; the half
    # length is inflated to reach the true end
    half = np.abs(b - a) / 2 * (1 + 1e-12) + radius * 1e-15
    half[np.where(side % 2 == 0, 1, 0), np.arange(side.size)] = 0.0
    centre = (a + b) / 2
    centre[np.where(side % 2 == 0, 1, 0), np.arange(side.size)] = np.where(
        (side == 0) | (side == 3), -radius, radius
    )
    image = network.enclose(centre, half)
    reach = image.hull_radius()
    low = np.nextafter(image.centre - reach, -np.inf)
    high = np.nextafter(image.centre + reach, np.inf)
    direction = np.where(side % 2 == 0, 0, 1)
    forward = np.where(side < 2, 1.0, -1.0)
    rows = np.arange(side.size)
    tangent = image.jacobian[:, direction, rows] * forward
    tangent_radius = image.jacobian_radius[:, direction, rows]
    first, second = _overlaps(low, high)
    separate = _separated(image, tangent, first, second)
    first, second = first[~separate], second[~separate]
    # neighbours share a point, so that they overlap always
    distance = (second - first) % side.size
    flip = distance > side.size - distance
    first, second = np.where(flip, second, first), np.where(flip, first, second)
    distance = np.minimum(distance, side.size - distance)
    apart = _monotone_runs(tangent, tangent_radius, first, distance)
    return first[~apart], second[~apart]


def _overlaps(low: Array, high: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs i < j of boxes that are not certainly disjoint, chunk by chunk; NaN overlaps all."""
    firsts, seconds = [], []
    for begin in range(0, low.shape[1], CHUNK):
        block = slice(begin, begin + CHUNK)
        disjoint = np.zeros((low[:, block].shape[1], low.shape[1] - begin), dtype=bool)
        for axis in range(2):
            disjoint |= low[axis, block, None] > high[axis, None, begin:]
            disjoint |= high[axis, block, None] < low[axis, None, begin:]
        i, j = np.nonzero(~disjoint)
        keep = j > i
        firsts.append(i[keep] + begin)
        seconds.append(j[keep] + begin)
    return np.concatenate(firsts), np.concatenate(seconds)


def _separated(
    image: MapEnclosure, tangent: Array, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which pairs are separated by a line along a tangent: images are thin and slanted."""
    apart = np.zeros(first.size, dtype=bool)
    gap = image.centre[:, first] - image.centre[:, second]
    for along in (tangent[:, first], tangent[:, second]):
        normal = np.stack([-along[1], along[0]])
        size = np.abs(normal)
        distance = np.abs((normal * gap).sum(axis=0))
        reach = np.zeros(first.size)
        rounding = np.zeros(first.size)
        for member in (first, second):
            matrix = image.matrix[:, :, member]
            reach += np.abs(np.einsum("ip,ijp->jp", normal, matrix)).sum(axis=0)
            reach += (size * image.error[:, member]).sum(axis=0)
            rounding += (size * (np.abs(matrix).sum(axis=1) + np.abs(image.centre[:, member]))).sum(axis=0)
        apart |= distance > (reach + 1e-14 * rounding) * INFLATE
    return apart


def _monotone_runs(
    tangent: Array, radius: Array, first: NDArray[np.int64], distance: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return for each pair whether the curve is monotone along some direction between the two."""
    count = tangent.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = tangent / np.linalg.norm(tangent, axis=0)
    apart = np.zeros(first.size, dtype=bool)
    for run in range(1, min(LONGEST_RUN, count // 4) + 1):
        pairs = np.nonzero(distance == run)[0]
        if pairs.size == 0:
            continue
        members = (first[pairs][:, None] + np.arange(run + 1)[None, :]) % count
        along = unit[:, members].sum(axis=2)
        component = np.einsum("ip,ipr->pr", along, tangent[:, members])
        spread = np.einsum("ip,ipr->pr", np.abs(along), radius[:, members])
        rounding = 1e-14 * np.einsum("ip,ipr->pr", np.abs(along), np.abs(tangent[:, members]))
        apart[pairs] = (component > (spread + rounding) * INFLATE).all(axis=1)
    return apart
