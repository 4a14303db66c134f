"""Rank, ½ log det of the smaller Gram matrix and extreme singular values of the Jacobian of any function.

For units that change the dimension: they are no bijections, and their Jacobian has no determinant.
Few coordinates: the whole matrix, by batches of products, and its singular values. Many: Lanczos on products.

See docs/mathematics.md, "What is measured".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap, function_map
from resnet_diffeo_probe.jacobian.estimators.work import MAX_FLOPS, flops_of
from resnet_diffeo_probe.jacobian.measures.by_products import PRODUCT_QUANTITIES, measures_by_products

__all__ = ["MATRIX_COPIES", "RECTANGULAR_QUANTITIES", "findings_of_matrix", "rectangular_measures"]

#: Of min(m, n) singular values of an m x n Jacobian.
RECTANGULAR_QUANTITIES = PRODUCT_QUANTITIES
#: What a whole matrix takes, in matrices: itself, and what its triangular factor is computed in.
MATRIX_COPIES = 2

# A singular value this many times the tolerance of the rank, or this part of it, is not told from zero for certain.
_RANK_MARGIN = 30


def rectangular_measures(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    max_dense: int = 2048,
    max_bytes: float = 2**31,
    max_flops: float = MAX_FLOPS,
    batch: int = 16,
    seed: int = 0,
) -> dict[str, Finding]:
    """Measure the Jacobian of a function at one input.

    Args:
        function: (B, *in_shape) -> (B, *out_shape), each sample alone; a unit's `sum_map`, say.
        x: (1, *in_shape), in the dtype to differentiate in.
        max_dense: smaller side up to which the whole matrix is computed.
        max_bytes: memory for the matrix, or for the bases of Lanczos.
        max_flops: operations of Lanczos.
        batch: vectors that go through the function at once; 1 where it takes no batches.
        seed: of probes.

    Returns:
        `rank`, `half_logdet` (½ log det of JJᵀ or JᵀJ, the smaller one), `sigma_min` and `sigma_max` (of min(m, n)
        singular values). Exact, or estimates with intervals; with `ERROR` where x or f(x) is not finite. An estimate
        of `half_logdet` is `UNDETERMINED` where products do not exclude that J has less than full rank.
    """
    if not bool(torch.isfinite(x).all()):
        return _all_lost("the input holds NaN or infinity")
    with torch.no_grad():
        output = function(x)
    if not bool(torch.isfinite(output).all()):
        return _all_lost("the function gives NaN or infinity at this input")
    J = function_map(function, x, batch=batch).tall
    if J.columns <= max_dense and 8 * MATRIX_COPIES * J.rows * J.columns <= max_bytes:
        return findings_of_matrix(_columns(J, batch), eps=J.eps)
    flops = flops_of(function, x)
    found = measures_by_products(J, flops, max_bytes=max_bytes, max_flops=max_flops, seed=seed)
    return found | {"half_logdet": _if_regular(found["half_logdet"], found["rank"])}


def _if_regular(half_logdet: Finding, rank: Finding) -> Finding:
    """Return the log-determinant, undetermined where the rank is not known: dead outputs make many J singular."""
    if half_logdet.status is not Status.OK or rank.value is not None:
        return half_logdet
    reason = "only if J has full rank, which is not known: where it has not, this is minus infinity"
    return replace(half_logdet, status=Status.UNDETERMINED, reason=reason)


def findings_of_matrix(columns: Tensor, *, eps: float) -> dict[str, Finding]:
    """Measure a matrix, with ½ log det JᵀJ.

    Args:
        columns: (p, m) float64, the p columns of J as rows.
        eps: relative rounding error of the arithmetic that they come from.

    Returns:
        As `rectangular_measures`, with errors of the size of max(m, p)·eps·sigma_max; where p > m, or where columns
        are dependent, `half_logdet` is `SINGULAR`.
    """
    p, m = columns.shape
    dtype = "float64" if eps < 1e-10 else "float32"
    # singular values of the triangular factor: those of J, and Jᵀ J with its squared condition is never formed
    small = torch.linalg.qr(columns.mT, mode="r").R if m > p else columns
    sigma = torch.linalg.svdvals(small)
    largest = float(sigma[0])
    tolerance = max(p, m) * eps * largest
    error = tolerance
    smallest = float(sigma[-1]) if m >= p else 0.0
    found = {
        "rank": _rank(sigma, tolerance, dtype),
        "sigma_min": Finding(smallest, error=error, dtype=dtype),
        "sigma_max": Finding(largest, error=error, dtype=dtype),
    }
    if smallest <= tolerance:
        reason = (
            f"J has {p} columns and {m} rows: its columns are dependent"
            if m < p
            else f"sigma_min is not above rounding error ({tolerance:.1e}): the columns are numerically dependent"
        )
        half = Finding.missing(Status.SINGULAR, reason, Evidence.EXACT)
    else:
        half = Finding(float(sigma.log().sum()), error=float((error / sigma).sum()), dtype=dtype)
    return {"rank": found["rank"], "half_logdet": half, **found}


def _rank(sigma: Tensor, tolerance: float, dtype: str) -> Finding:
    """The number of singular values above max(m, n)·eps·sigma_max, undetermined where one is near that."""
    least, most = (int((sigma > tolerance * factor).sum()) for factor in (_RANK_MARGIN, 1 / _RANK_MARGIN))
    value = int((sigma > tolerance).sum())
    if least == most or float(sigma[0]) == 0:
        return Finding(value, dtype=dtype, reason=f"singular values above {tolerance:.1e} count")
    return Finding(
        value,
        Evidence.EXACT,
        Status.UNDETERMINED,
        interval=(least, most),
        dtype=dtype,
        reason=f"{most - least} singular values are within a factor of {_RANK_MARGIN} of rounding error",
    )


def _columns(J: LinearMap, batch: int) -> Tensor:
    """Return (columns, rows): every column of J."""
    parts = []
    for start in range(0, J.columns, batch):
        stop = min(start + batch, J.columns)
        ones = torch.zeros(stop - start, J.columns, dtype=torch.float64, device=J.device)
        ones[torch.arange(stop - start), torch.arange(start, stop)] = 1
        parts.append(J.apply(ones))
    return torch.cat(parts)


def _all_lost(reason: str) -> dict[str, Finding]:
    return dict.fromkeys(RECTANGULAR_QUANTITIES, Finding.missing(Status.ERROR, reason))
