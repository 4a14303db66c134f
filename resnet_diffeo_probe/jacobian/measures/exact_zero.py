"""Proofs that det J is zero: not a pivot that rounding made zero, but J itself, in integers.

A pivot that comes out as exactly zero proves nothing of J where the numbers that led to it were rounded. Where a
branch is made of convolutions, linear layers and the like with piecewise linear activations between them, and all of
its numbers are whole multiples of not too small a power of two, the products and sums that make the entries of J are
exact in float64: every intermediate value is a multiple of 2^−p below 2^(53 − p). J is then known as a matrix of
integers, and its determinant is taken in integers, or a zero row, a zero column or two equal rows are pointed at.

Normalisations and smooth activations are never taken: their derivatives are rounded, whatever they look like.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.activations import is_pointwise
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.stages import PointwiseStage
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization

__all__ = ["why_singular"]

# Operations whose matrices hold the branch's own numbers, ones, or one over a count.
_AS_STORED = frozenset(
    {
        *("conv1d", "conv2d", "conv3d", "linear", "pad", "mul", "multiply", "neg", "add", "sub"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d"),
    }
)
# What is formed: J itself, and operations with so many entries.
_MOST_ROWS = 4096
_MOST_ENTRIES = 2e7
# Determinants in integers take seconds beyond this.
_MOST_ELIMINATED = 64
_DIGITS = 53


def why_singular(lin: Linearization) -> str | None:
    """Return a proof that det J = 0 for the numbers of the branch as they are stored, in words; None without one.

    Args:
        lin: the unit at an input that lies on no kink.
    """
    J = _in_integers(lin)
    if J is None:
        return None
    n = J.shape[0]
    known = "all entries of J are known without rounding error"
    for matrix, what in ((J, "row"), (J.T.tocsr(), "column")):
        entries = np.diff(matrix.indptr)
        if (entries == 0).any():
            return f"{known}, and its {what} {int(np.argmin(entries))} is zero"
        if (pair := _equal_rows(matrix)) is not None:
            return f"{known}, and its {what}s {pair[0]} and {pair[1]} are equal"
    if n <= _MOST_ELIMINATED and _determinant(J) == 0:
        return f"{known}, and its determinant, computed in integers, is zero"
    return None


def _in_integers(lin: Linearization) -> sparse.csr_array | None:
    """Return a multiple of J by a power of two, rows and columns by pixel, then channel; None where rounding enters."""
    n = lin.dimension
    if n > _MOST_ROWS or lin.rank or lin.kinks or not _is_as_stored(lin):
        return None
    product = size = sparse.eye_array(n, format="csr", dtype=np.float64)
    places = 0
    for factor in _factors(lin):
        if factor is None:
            return None
        places += _binary_places(factor.data)
        if places > _DIGITS:
            return None
        product, size = (factor @ product).tocsr(), (abs(factor) @ size).tocsr()
        # the sums of absolute values, which bound every partial sum; they are exact up to where this says so
        if not float(size.max() if size.nnz else 0.0) + 1 <= 2.0 ** (_DIGITS - places):
            return None
    J = (sparse.eye_array(n, format="csr") + product).tocsr() * 2.0**places
    J.eliminate_zeros()
    J.sort_indices()
    return J.astype(np.int64)


def _is_as_stored(lin: Linearization) -> bool:
    """Return whether the matrices of the branch hold its stored numbers, each used for what it is."""
    if lin.parent.not_read or not all(
        isinstance(stage, PointwiseStage) and stage.activation.record.slopes_as_given
        for stage in lin.parent.chain.activations
    ):
        return False
    for node in lin.parent.branch.graph.nodes:
        if node.op != "call_function":
            continue
        name = getattr(node.target, "__name__", str(node.target))
        # the first argument is data: nothing is computed from parameters alone
        data, *constants = node.all_input_nodes
        if name not in _AS_STORED and not is_pointwise(node.target):
            return False
        if data.op == "get_attr" or any(c.op != "get_attr" for c in constants):
            return False
    return True


def _factors(lin: Linearization) -> Iterator[sparse.csr_array | None]:
    """Yield the matrices whose product is J_F, the first to be applied first; None for one with too many entries."""
    for j, segment in enumerate(lin.parent.chain.segments):
        for operator in segment.operators:
            yield _expanded(operator.matrix())
        if j < len(lin.derivatives):
            yield sparse.diags_array(_by_pixel(lin.derivatives[j]), format="csr")


def _by_pixel(derivative: Tensor) -> npt.NDArray[np.float64]:
    """(1, C, *spatial) -> (P·C,)."""
    return derivative[0].reshape(derivative.shape[1], -1).mT.reshape(-1).double().cpu().numpy()


def _expanded(matrix: SharedBlockMatrix) -> sparse.csr_array | None:
    if matrix.ids.size * matrix.channels_out * matrix.channels_in > _MOST_ENTRIES:
        return None
    blocks = matrix.blocks.double().cpu().numpy()[matrix.ids]
    starts = np.searchsorted(matrix.rows, np.arange(matrix.pixels_out + 1))
    shape = (matrix.pixels_out * matrix.channels_out, matrix.pixels_in * matrix.channels_in)
    return sparse.bsr_array((blocks, matrix.cols, starts), shape=shape).tocsr()


def _binary_places(values: npt.NDArray[np.float64]) -> int:
    """Return the least p ≥ 0 so that all values are whole multiples of 2^−p; more than `_DIGITS` where it is larger."""
    values = values[values != 0]
    if not values.size:
        return 0
    if not np.isfinite(values).all():
        return _DIGITS + 1
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**_DIGITS).astype(np.int64)
    lowest_bit = np.log2((whole & -whole).astype(np.float64))  # powers of two: exact
    return max(0, int((_DIGITS - lowest_bit - exponent).max()))


def _equal_rows(matrix: sparse.csr_array) -> tuple[int, int] | None:
    seen: dict[bytes, int] = {}
    for row in range(matrix.shape[0]):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        key = matrix.indices[entries].tobytes() + matrix.data[entries].tobytes()
        if key in seen:
            return seen[key], row
        seen[key] = row
    return None


def _determinant(J: sparse.csr_array) -> int:
    # seldom asked for, and slow to import
    from sympy import ZZ  # noqa: PLC0415
    from sympy.polys.matrices import DomainMatrix  # noqa: PLC0415

    rows = [[ZZ(value) for value in row] for row in J.toarray().tolist()]
    return int(DomainMatrix(rows, J.shape, ZZ).det())
