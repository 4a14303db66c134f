"""The decision boundary in the input plane (figure 2), in numbers where the paper says 'smoother'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.integration.integrate import flow_with_jacobian
from resnet_diffeo_probe.flows.integration.jacobian_map import square_grid
from resnet_diffeo_probe.flows.training.accuracy import classify, logits_of

__all__ = ["Boundary", "boundary_of", "logit_and_gradient"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Boundary:
    """The zero set of the logit within a square.

    Attributes:
        pieces: curves, each (2, points).
        length: total length, in the unit of the data.
        curvature: total absolute curvature, in radians: the sum of |turning angle| along all pieces; 2 pi for
            a circle, 0 for straight lines.
    """

    pieces: tuple[Array, ...]
    length: float
    curvature: float

    def distance(self, points: Array) -> Array:
        """Return the distance of points (2, B) to the curves, (B,); NaN where there is no curve."""
        if not self.pieces:
            return np.full(points.shape[1], np.nan)
        tree = cKDTree(np.concatenate([_resample(piece, 0.002) for piece in self.pieces], axis=1).T)
        return np.asarray(tree.query(points.T)[0])


def logit_and_gradient(parameters: Parameters, x: Array) -> tuple[Array, Array]:
    """Return the trained networks' logits, (S, B), and their derivatives by the input, (S, 2, B)."""
    mapped, jacobian = flow_with_jacobian(VelocityField(parameters), x)
    direction = parameters.readout[:, 0, :PLANE]
    return logits_of(parameters, mapped), np.einsum("si,sijb->sjb", direction, jacobian)


def boundary_of(parameters: Parameters, radius: float, *, side: int = 400) -> Boundary:
    """Trace the boundary of one network in [-radius, radius]^2.

    Marching squares on a grid finds the pieces; Newton steps along the gradient then put every point on
    the zero set, because the turning angles of a merely interpolated curve are mostly noise.

    Args:
        parameters: one network (S = 1), float64.
        radius: half side of the square.
        side: cells a side of the grid.
    """
    grid = square_grid(radius, side)
    logits = classify(parameters, grid).reshape(side, side)
    axis = grid[0, 0, :side]
    pieces = []
    for line in contourpy.contour_generator(axis, axis, logits).lines(0.0):
        piece = _polish(parameters, np.asarray(line).T, 2 * radius / side)
        piece = _resample(piece, 2 * radius / side)
        if piece.shape[1] > 1:
            pieces.append(_polish(parameters, piece, 2 * radius / side))
    length = sum(float(np.linalg.norm(np.diff(p, axis=1), axis=0).sum()) for p in pieces)
    return Boundary(tuple(pieces), length, sum(_turning(p) for p in pieces))


def _polish(parameters: Parameters, piece: Array, cell: float) -> Array:
    """Move points (2, B) onto the zero set, none of them farther than a cell in all."""
    start = piece
    for _ in range(4):
        logit, gradient = logit_and_gradient(parameters, piece[None])
        square = np.square(gradient[0]).sum(axis=0)
        move = np.where(square > 0, -logit[0] / np.where(square > 0, square, 1.0), 0.0) * gradient[0]
        size = np.linalg.norm(move, axis=0)
        piece = piece + move * np.minimum(1.0, cell / np.maximum(size, 1e-300))
    return np.where(np.linalg.norm(piece - start, axis=0) <= cell, piece, start)


def _resample(piece: Array, spacing: float) -> Array:
    """Return points at equal distances of about `spacing` along a polyline (2, B), its ends included."""
    steps = np.linalg.norm(np.diff(piece, axis=1), axis=0)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] <= 0:
        return piece[:, :1]
    at = np.linspace(0.0, along[-1], max(2, round(along[-1] / spacing) + 1))
    return np.stack([np.interp(at, along, row) for row in piece])


def _turning(piece: Array) -> float:
    """Return the sum of the absolute turning angles of a polyline; a closed one turns at its joint, too."""
    edges = np.diff(piece, axis=1)
    if np.linalg.norm(piece[:, 0] - piece[:, -1]) < 1e-9:
        edges = np.concatenate([edges, edges[:, :1]], axis=1)
    angle = np.arctan2(edges[1], edges[0])
    turn = np.abs((np.diff(angle) + np.pi) % (2 * np.pi) - np.pi)
    return float(turn.sum())
