"""2 x 2 matrices, many at once, in closed form: arrays (S, 2, 2, B)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["determinant", "identity", "inverse", "leftmost_real_eigenvalue", "product", "singular_values"]

Array = NDArray[np.floating[Any]]


def identity(seeds: int, batch: int, dtype: DTypeLike) -> Array:
    """Return identity matrices, (seeds, 2, 2, batch)."""
    eye = np.zeros((seeds, 2, 2, batch), dtype=dtype)
    eye[:, 0, 0] = eye[:, 1, 1] = 1
    return eye


def product(a: Array, b: Array) -> Array:
    """Return the matrix products a b."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), dtype=np.result_type(a, b))
    for i in range(2):
        for j in range(2):
            out[:, i, j] = a[:, i, 0] * b[:, 0, j] + a[:, i, 1] * b[:, 1, j]
    return out


def determinant(a: Array) -> Array:
    """Return the determinants, (S, B): eq. 11."""
    return a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0]


def inverse(a: Array) -> Array:
    """Return the inverses; a singular matrix gives infinities or NaN."""
    out = np.empty_like(a)
    out[:, 0, 0], out[:, 1, 1] = a[:, 1, 1], a[:, 0, 0]
    out[:, 0, 1], out[:, 1, 0] = -a[:, 0, 1], -a[:, 1, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        out /= determinant(a)[:, None, None]
    return out


def singular_values(a: Array) -> tuple[Array, Array]:
    """Return the greater and the smaller singular value, (S, B) each.

    With the complex numbers z = ((a + d) + i (c - b)) / 2 and w = ((a - d) + i (c + b)) / 2 they are |z|
    + |w| and ||z| - |w||. The smaller one is taken as |det| over the greater, which loses no digits when
    it is small.
    """
    z = np.hypot(a[:, 0, 0] + a[:, 1, 1], a[:, 1, 0] - a[:, 0, 1]) / 2
    w = np.hypot(a[:, 0, 0] - a[:, 1, 1], a[:, 1, 0] + a[:, 0, 1]) / 2
    greatest = z + w
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(greatest > 0, np.abs(determinant(a)) / greatest, 0)
    return greatest, least


def leftmost_real_eigenvalue(a: Array) -> Array:
    """Return the least real eigenvalue, (S, B); NaN where the eigenvalues are a complex pair."""
    half_trace = (a[:, 0, 0] + a[:, 1, 1]) / 2
    # of the symmetric form ((a - d) / 2)^2 + b c, which does not cancel as trace^2 / 4 - det does
    under_root = ((a[:, 0, 0] - a[:, 1, 1]) / 2) ** 2 + a[:, 0, 1] * a[:, 1, 0]
    root = np.sqrt(np.maximum(under_root, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # the smaller of the two roots by the stable formula where half_trace > 0
        stable = np.where(half_trace > 0, determinant(a) / (half_trace + root), half_trace - root)
    return np.where(under_root >= 0, np.where(half_trace > 0, stable, half_trace - root), np.nan)
