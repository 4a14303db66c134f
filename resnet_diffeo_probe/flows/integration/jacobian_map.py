"""Maps of the Jacobian determinant over a square (eq. 11, figure 4), with extremes finer than the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.plane import determinant
from resnet_diffeo_probe.flows.integration.integrate import flow_with_jacobian

__all__ = ["DeterminantMap", "determinant_map", "square_grid", "torn_share"]

Array = NDArray[np.floating[Any]]

ZOOMS = 6  # each divides the cell by 4
ZOOM_SIDE = 9
CANDIDATES = 12


def square_grid(radius: float, side: int) -> Array:
    """Return the centres of the cells of [-radius, radius]^2, (1, 2, side * side), rows from below."""
    centres = radius * (2 * (np.arange(side) + 0.5) / side - 1)
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()])[None]


@dataclass(frozen=True, slots=True)
class DeterminantMap:
    """Determinants over a square.

    Attributes:
        radius: the square is [-radius, radius]^2.
        values: (S, side, side) determinants at the cells' centres, rows from below.
        least: (S,) the least determinant found, by zooming into the lowest cells.
        greatest: (S,) the greatest one found.
        least_at: (S, 2) where the least one is.
    """

    radius: float
    values: Array
    least: Array
    greatest: Array
    least_at: Array


def determinant_map(
    field: VelocityField, radius: float, *, side: int = 200, steps: int | None = None, scheme: str = "euler"
) -> DeterminantMap:
    """Compute the determinants on a grid, then zoom into its lowest and highest cells.

    A fold may be narrower than a cell, so that the grid alone would miss it; the zoom finds local extremes by
    search and is no proof (`certify` is).

    Args:
        field: S velocity fields, float64.
        radius: half side of the square.
        side: cells a side.
        steps: integration steps, the trained number by default.
        scheme: as in `flow`.
    """
    grid = square_grid(radius, side)
    values = _determinants(field, grid, steps, scheme)
    seeds = field.parameters.seeds
    found = {}
    for sign in (1, -1):
        signed = np.where(np.isfinite(values), sign * values, np.inf)
        best, place = _zoom(field, grid, signed, radius / side, radius, sign, steps, scheme)
        found[sign] = (sign * best, place)
    return DeterminantMap(radius, values.reshape(seeds, side, side), found[1][0], found[-1][0], found[1][1])


def torn_share(values: Array) -> Array:
    """Return the share of the square whose determinant has the rarer sign, (S,).

    A determinant that is negative everywhere is a reflection and tears nothing; both signs are a fold.
    """
    share = (values.reshape(values.shape[0], -1) < 0).mean(axis=1)
    return np.minimum(share, 1 - share)


def _determinants(field: VelocityField, x: Array, steps: int | None, scheme: str) -> Array:
    return determinant(flow_with_jacobian(field, x, steps=steps, scheme=scheme)[1])


def _zoom(
    field: VelocityField,
    grid: Array,
    signed: Array,
    half_cell: float,
    radius: float,
    sign: int,
    steps: int | None,
    scheme: str,
) -> tuple[Array, Array]:
    """Return the least signed determinant, (S,), and its place, (S, 2)."""
    seeds = signed.shape[0]
    chosen = np.argpartition(signed, CANDIDATES, axis=1)[:, :CANDIDATES]
    centres = np.broadcast_to(grid, (seeds, 2, grid.shape[2]))
    centres = np.take_along_axis(centres, chosen[:, None, :], axis=2)
    values = np.take_along_axis(signed, chosen, axis=1)
    offsets = np.linspace(-1.5, 1.5, ZOOM_SIDE)
    star = np.stack(np.meshgrid(offsets, offsets)).reshape(1, 2, 1, -1)
    reach = half_cell
    for _ in range(ZOOMS):
        trial = np.clip(centres[:, :, :, None] + reach * star, -radius, radius)
        shape = trial.shape
        there = sign * _determinants(field, trial.reshape(seeds, 2, -1), steps, scheme)
        there = np.where(np.isfinite(there), there, np.inf).reshape(seeds, shape[2], shape[3])
        best = there.argmin(axis=2)
        values = np.take_along_axis(there, best[:, :, None], axis=2)[:, :, 0]
        centres = np.take_along_axis(trial, best[:, None, :, None], axis=3)[:, :, :, 0]
        reach /= 4
    winner = values.argmin(axis=1)
    rows = np.arange(seeds)
    return values[rows, winner], centres[rows, :, winner]
