"""Upper bounds, with a proof, of the spectral norm of linear layers with zero padding.

A zero-padded convolution is a compression of a circular one on a larger torus: embed the image with zeros, convolve
circularly, restrict. Both outer maps have norm one, so the circular norm, the largest norm of one small matrix a
frequency, is an upper bound once the torus is large enough that nothing wraps around into the image (n + ⌊k/2⌋ for the
usual padding; the n × n torus is too small, and its norm no bound). The small norms come from the Gram iteration
‖A‖² = ‖AᴴA‖, ‖·‖₂ ≤ ‖·‖_F (Delattre, Barthélemy, Araujo & Allauzen, Efficient Bound of Lipschitz Constant for
Convolutional Layers by Gram Iteration, ICML 2023), with the rounding of every product bounded as in Higham, Accuracy
and Stability of Numerical Algorithms, 2nd ed., section 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix

__all__ = ["NormBound", "gram_bound", "norm_bound"]

# Squarings: ‖·‖_F exceeds ‖·‖₂ by at most rank^(1/2), of which the 2^(k+1)-th root is left.
_SQUARINGS = 8
_CHUNK_NUMBERS = 2_000_000
_EPS = float(torch.finfo(torch.float64).eps)


@dataclass(frozen=True)
class NormBound:
    """An upper bound of a spectral norm.

    Attributes:
        value: the bound, the rounding of its own computation included.
        method: `"torus"` or `"rows and columns"`, for people.
    """

    value: float
    method: str


def norm_bound(matrix: SharedBlockMatrix, spatial_out: Sequence[int], spatial_in: Sequence[int]) -> NormBound:
    """Bound the spectral norm of a block-sparse matrix from above.

    Args:
        matrix: rows and columns ordered by pixel, then channel.
        spatial_out: of its output, row-major; empty for vectors.
        spatial_in: of its input.

    Returns:
        The norm on the torus if the matrix is a zero-padded convolution, with any stride and dilation; else the Schur
        test √(largest row sum · largest column sum) of block norms, which holds for every matrix.
    """
    if not matrix.ids.size:
        return NormBound(0.0, "rows and columns")
    taps = _taps(matrix, spatial_out, spatial_in)
    if taps is not None:
        return NormBound(_torus_bound(*taps), "torus")
    sizes = gram_bound(matrix.blocks.to(torch.float64)).numpy()[matrix.ids]
    rows = np.bincount(matrix.rows, weights=sizes).max()
    columns = np.bincount(matrix.cols, weights=sizes).max()
    return NormBound(math.sqrt(rows * columns) * (1 + 4 * _EPS * matrix.ids.size), "rows and columns")


def gram_bound(matrices: Tensor) -> Tensor:
    """Bound the spectral norms of a batch of matrices from above, rounding included.

    Args:
        matrices: (B, m, n), float64 or complex128.

    Returns:
        (B,) float64.
    """
    m, n = matrices.shape[1:]
    a = matrices if n <= m else matrices.mH
    norms: list[Tensor] = []
    scales: list[Tensor] = []
    for k in range(_SQUARINGS + 1):
        norms.append(_frobenius(a))
        gram = a.mH @ a
        # powers of two scale without rounding
        scale = torch.exp2(torch.ceil(torch.log2(_frobenius(gram).clamp_min(1e-300))))
        scales.append(scale)
        a = gram / scale[:, None, None]
        inner = m if k == 0 else a.shape[1]
        norms[-1] = norms[-1].square() * _product_error(max(inner, n))
    bound = _frobenius(a)
    for error, scale in zip(reversed(norms), reversed(scales), strict=True):
        bound = (bound * scale + error).sqrt() * (1 + 4 * _EPS)
    return bound


def _product_error(inner: int) -> float:
    """Return γ with ‖fl(AᴴA) − AᴴA‖_F ≤ γ ‖A‖_F²; a complex product is four real ones."""
    return 4 * (inner + 4) * _EPS / (1 - 4 * (inner + 4) * _EPS)


def _frobenius(a: Tensor) -> Tensor:
    size = a.shape[1] * a.shape[2]
    return torch.linalg.vector_norm(a, dim=(1, 2)).to(torch.float64) * (1 + (size + 4) * _EPS)


def _taps(
    matrix: SharedBlockMatrix, spatial_out: Sequence[int], spatial_in: Sequence[int]
) -> tuple[Tensor, np.ndarray, tuple[int, ...]] | None:
    """Return (blocks, their offsets, torus) if the matrix is a zero-padded convolution, else None."""
    if len(spatial_out) != len(spatial_in):
        return None
    if not spatial_in:  # one block
        return matrix.blocks[matrix.ids], np.zeros((1, 0), dtype=np.int64), ()
    rows = np.stack(np.unravel_index(matrix.rows, tuple(spatial_out)), axis=1)
    cols = np.stack(np.unravel_index(matrix.cols, tuple(spatial_in)), axis=1)
    stride = np.maximum(1, np.round(np.array(spatial_in) / np.array(spatial_out))).astype(np.int64)
    offsets = cols - stride * rows
    distinct, tap = np.unique(offsets, axis=0, return_inverse=True)
    tap = tap.reshape(-1)
    # one block an offset
    first = np.zeros(len(distinct), dtype=np.int64)
    first[tap] = matrix.ids
    if (first[tap] != matrix.ids).any():
        return None
    # and an entry wherever the offset stays inside the image
    counts = np.bincount(tap, minlength=len(distinct))
    for offset, count in zip(distinct, counts, strict=True):
        inside = 1
        for o, s, n_out, n_in in zip(offset, stride, spatial_out, spatial_in, strict=True):
            at = s * np.arange(n_out) + o
            inside *= int(((at >= 0) & (at < n_in)).sum())
        if inside != count:
            return None
    torus = []
    for axis, (s, n_out, n_in) in enumerate(zip(stride, spatial_out, spatial_in, strict=True)):
        low, high = distinct[:, axis].min(), s * (n_out - 1) + distinct[:, axis].max()
        torus.append(int(max(n_in + max(0, -low), high + 1)))
    return matrix.blocks[torch.from_numpy(first)], distinct, tuple(torus)


def _torus_bound(blocks: Tensor, offsets: np.ndarray, torus: tuple[int, ...]) -> float:
    """Return the largest norm of Σ_o W_o exp(2πi o·f/N) over the frequencies f of the torus."""
    blocks = blocks.to(torch.float64)
    count, m, n = blocks.shape
    frequencies = np.stack([axis.reshape(-1) for axis in np.indices(torus)], axis=1) if torus else offsets
    # W is real: f and −f have conjugate matrices
    if torus:
        mirrored = np.ravel_multi_index(tuple((-frequencies % np.array(torus)).T), torus)
        frequencies = frequencies[np.arange(len(frequencies)) <= mirrored]
    flat = blocks.reshape(count, m * n).to(torch.complex128)
    largest = 0.0
    step = max(1, _CHUNK_NUMBERS // (m * n))
    for start in range(0, len(frequencies), step):
        part = frequencies[start : start + step]
        turns = np.zeros((len(part), count))
        for axis, size in enumerate(
            torus
        ):  # the integers are reduced first: a phase has no error from its size
            turns += (part[:, axis, None] * offsets[None, :, axis] % size) / size
        phases = torch.polar(
            torch.ones(turns.shape, dtype=torch.float64), torch.from_numpy(2 * np.pi * turns)
        )
        largest = max(largest, float(gram_bound((phases @ flat).reshape(-1, m, n)).max()))
    # rounding of the sums and of the phases, each of which is right to some units of the last place
    total = float(torch.linalg.vector_norm(blocks, dim=(1, 2)).sum())
    return (largest + 4 * (count + 32) * _EPS * total) * (1 + 4 * _EPS)
