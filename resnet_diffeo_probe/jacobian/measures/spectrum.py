"""Extreme singular values of J and the real eigenvalues of J_F at the left, from products and solves.

ARPACK (scipy) does the iterations; a singular value comes with an error from its residual. Each is an estimate: the
largest from below, the smallest from above. A lower bound of the smallest is a matter of certificates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg as sparse
import torch
from torch import Tensor

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.site import Site

__all__ = [
    "LeftmostEigenvalues",
    "eigenvalue_measures",
    "largest_singular_value",
    "leftmost_by_products",
    "leftmost_real_eigenvalues",
    "singular_value_measures",
    "smallest_singular_value",
]

Vector = npt.NDArray[np.float64]

# Up to these orders all singular values, and all eigenvalues, are computed directly: it is faster there.
_DENSE_SINGULAR = 600
_DENSE_EIGEN = 400
# How many eigenvalues at the left are asked for, one attempt after another.
_ATTEMPTS = (6, 24, 80)
_ENOUGH = 24
_TOLERANCE = 1e-10


def singular_value_measures(site: Site) -> dict[str, Finding]:
    """Return those of `sigma_min` and `sigma_max` that are wanted.

    Args:
        site: the unit at an input; for `sigma_min` with its determinant.
    """
    found = {}
    if "sigma_min" in site.wanted:
        found["sigma_min"] = _smallest(site)
    if "sigma_max" in site.wanted:
        found["sigma_max"] = largest_singular_value(site.lin, seed=site.seed)
    return found


def eigenvalue_measures(site: Site) -> dict[str, Finding]:
    """Return `leftmost_real_eigenvalue`, `critical_step` and `real_eigenvalues_below_minus_one`.

    Args:
        site: the unit at an input.
    """
    found = leftmost_real_eigenvalues(site.lin, counts=site.counts, seed=site.seed)
    return {
        "leftmost_real_eigenvalue": found.leftmost,
        "critical_step": found.critical_step,
        "real_eigenvalues_below_minus_one": found.below_minus_one,
    }


def _smallest(site: Site) -> Finding:
    det = site.determinant
    if det is None:
        return Finding.missing(Status.NOT_RUN, site.too_large or "nothing was eliminated")
    if det.factorization is not None and not site.kept:
        needed = site.lin.factor_bytes() / 2**30
        reason = f"solves need kept factors, {needed:.1f} GiB, which is more than is allowed"
        return Finding.missing(Status.NOT_RUN, reason)
    if det.sign.status is Status.SINGULAR:
        return Finding(0.0, status=Status.SINGULAR, reason=det.sign.reason)
    if det.sign.status is Status.ERROR:
        return det.sign
    return smallest_singular_value(site.lin, det.factorization, seed=site.seed)


def largest_singular_value(lin: Linearization, *, seed: int = 0) -> Finding:
    """Return the largest singular value of J, with the error that its residual proves.

    Args:
        lin: the unit at an input.
        seed: of the start vector.
    """
    if lin.dimension <= _DENSE_SINGULAR:
        return Finding(float(lin.singular_values[0]), dtype=_dtype(lin))
    return _extreme(lin, lambda v: lin.apply_transpose(lin.apply(v)), invert=False, seed=seed)


def smallest_singular_value(
    lin: Linearization, factorization: JacobianFactorization | None, *, seed: int = 0
) -> Finding:
    """Return the smallest singular value of J: its distance to the nearest singular matrix.

    Args:
        lin: the unit at an input.
        factorization: of J, for solves; None where a pivot of it was zero.
        seed: of the start vector.
    """
    if lin.dimension <= _DENSE_SINGULAR:
        return Finding(float(lin.singular_values[-1]), dtype=_dtype(lin))
    if factorization is None:
        reason = "a pivot of J came out as zero, so there are no solves with it: it is near 0, or 0 itself"
        return Finding.missing(Status.UNDETERMINED, reason)
    return _extreme(
        lin, lambda v: factorization.solve(factorization.solve_transpose(v)), invert=True, seed=seed
    )


def _extreme(lin: Linearization, gram: Callable[[Tensor], Tensor], *, invert: bool, seed: int) -> Finding:
    """Largest eigenvalue θ of a symmetric map by Lanczos; returns √θ, or 1/√θ."""
    n, shape = lin.dimension, lin.x.shape

    def product(v: Vector) -> Vector:
        return _numpy(gram(torch.from_numpy(np.ascontiguousarray(v)).to(lin.x).reshape(shape)))

    operator = sparse.LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n)
    try:
        values, vectors = sparse.eigsh(operator, k=1, which="LM", v0=start, tol=_TOLERANCE, maxiter=200)
    except sparse.ArpackNoConvergence:
        return Finding.missing(Status.NOT_CONVERGED, "Lanczos iterations did not converge")
    except sparse.ArpackError as failure:
        return Finding.missing(Status.NOT_CONVERGED, f"Lanczos iterations failed ({failure})")
    theta, vector = float(values[0]), vectors[:, 0]
    # an eigenvalue lies within the residual of θ, and θ ≤ the largest one, so that is where it is
    residual = float(np.linalg.norm(product(vector) - theta * vector))
    value = theta**-0.5 if invert else theta**0.5
    # d√θ = dθ / 2√θ and d(1/√θ) = dθ / 2θ^{3/2}
    error = residual / (2 * theta**1.5) if invert else residual / (2 * theta**0.5)
    return Finding(value, Evidence.ESTIMATED, error=error, dtype=_dtype(lin), seed=seed)


@dataclass(frozen=True)
class LeftmostEigenvalues:
    """What is known of the real eigenvalues of J_F at the left.

    Attributes:
        leftmost: the most negative real eigenvalue; `NOT_APPLICABLE` where no real one is negative.
        critical_step: h* = −1/leftmost; `INFINITE` where no real eigenvalue is negative.
        below_minus_one: number of real eigenvalues below −1; sign det J = (−1)^number.
    """

    leftmost: Finding
    critical_step: Finding
    below_minus_one: Finding


def leftmost_real_eigenvalues(
    lin: Linearization, *, counts: bool = True, seed: int = 0
) -> LeftmostEigenvalues:
    """Find the most negative real eigenvalue of J_F, the critical Euler step, and the count below −1.

    The non-zero eigenvalues of J_F = L D R are those of the reduced product D_A (R L)[A, A], which is smaller.
    Complex pairs may lie further left: more eigenvalues are asked for until the real ones are among them.

    Args:
        lin: the unit at an input.
        counts: go on until all real eigenvalues below −1 are known. Where dozens lie there, that takes ten times as
            long as the leftmost one alone; without, the count is known only where few do, and a leftmost one above −1
            only where few complex pairs are left of it.
        seed: of the start vector.
    """
    order = lin.reduced.order if lin.rank == 0 else lin.dimension
    if order == 0:
        return _from_real(np.zeros(0), complete_below=math.inf, exact=True, seed=seed, dtype=_dtype(lin))
    apply = _reduced_product(lin) if lin.rank == 0 else _branch_product(lin)
    resolution = 0.0 if lin.rank == 0 else 2.0**10 * torch.finfo(lin.x.dtype).eps
    return leftmost_by_products(
        apply, order, counts=counts, seed=seed, dtype=_dtype(lin), resolution=resolution
    )


def leftmost_by_products(
    apply: Callable[[Vector], Vector],
    order: int,
    *,
    counts: bool = True,
    seed: int = 0,
    dtype: str = "float64",
    resolution: float = 2.0**-42,
) -> LeftmostEigenvalues:
    """Find the same of any matrix, by its products with vectors.

    Args:
        apply: (order,) -> (order,), float64.
        order: of the matrix, at least 1.
        counts: as above.
        seed: of the start vector.
        dtype: in which the products are computed.
        resolution: products smaller than this, relative to the vector, may come out as zero; as it is, those that are
            the difference of J v and v in float64.
    """
    if order <= _DENSE_EIGEN:
        matrix = np.column_stack([apply(column) for column in np.eye(order)])
        values = np.linalg.eigvals(matrix)
        return _from_real(
            values[values.imag == 0].real, complete_below=math.inf, exact=True, seed=seed, dtype=dtype
        )
    operator = sparse.LinearOperator((order, order), matvec=apply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(order)
    if not apply(start).any():
        # where a random vector comes out as exactly zero, so does every one
        below = -order * resolution
        return _from_real(np.zeros(0), complete_below=below, exact=False, seed=seed, dtype=dtype)
    found = None
    for k in (k for k in _ATTEMPTS if k < order - 1):
        try:
            values = sparse.eigs(
                operator,
                k=k,
                which="SR",
                v0=start,
                ncv=min(order, 2 * k + 30),
                tol=_TOLERANCE,
                maxiter=60,
                return_eigenvectors=False,
            )
        except sparse.ArpackError:  # no convergence, or a start that the iterations end at
            break
        real = values.imag == 0
        reach = float(values.real.max())
        found = _from_real(values.real[real], complete_below=reach, exact=False, seed=seed, dtype=dtype)
        counted = found.below_minus_one.value is not None
        known = found.leftmost.status is not Status.NOT_CONVERGED
        # where no real one is below −1 either, the critical step is above one, and how far is seldom found by more
        if (known and (counted or not counts)) or (counted and not counts and k >= _ENOUGH):
            break
    if found is None:
        lost = Finding.missing(
            Status.NOT_CONVERGED, "Arnoldi iterations for the leftmost eigenvalues did not converge"
        )
        return LeftmostEigenvalues(lost, lost, lost)
    return found


def _branch_product(lin: Linearization) -> Callable[[Vector], Vector]:
    """Return v -> J_F v, where terms of low rank leave no smaller matrix with the same eigenvalues."""

    def apply(v: Vector) -> Vector:
        image = torch.from_numpy(np.ascontiguousarray(v.reshape(-1))).to(lin.x).reshape(lin.x.shape)
        return _numpy(lin.apply(image) - image)

    return apply


def _reduced_product(lin: Linearization) -> Callable[[Vector], Vector]:
    """Return w -> D_A (R L)[A, A] w."""
    reduced = lin.reduced
    cut, index, own = reduced.product.cut, reduced.active_index(), reduced.own_derivatives()
    shape = lin.parent.cut_shape(cut)
    pixels, channels = reduced.product.pixels, reduced.product.channels

    def apply(w: Vector) -> Vector:
        flat = torch.zeros(pixels * channels, dtype=own.dtype, device=own.device)
        flat[index] = torch.from_numpy(np.ascontiguousarray(w.reshape(-1))).to(own)
        out = lin.right(lin.left(flat.reshape(pixels, channels).mT.reshape(1, *shape), cut), cut)
        return _numpy(own * out.reshape(channels, pixels).mT.reshape(-1)[index])

    return apply


def _from_real(
    real: Vector, *, complete_below: float, exact: bool, seed: int, dtype: str
) -> LeftmostEigenvalues:
    """Turn the real eigenvalues at the left, all of those below `complete_below`, into findings.

    They have no error: J_F is not normal, and neither a residual nor the backward error of a direct method bounds how
    far an eigenvalue of such a matrix is off.
    """
    evidence = Evidence.EXACT if exact else Evidence.ESTIMATED
    about = {"evidence": evidence, "dtype": dtype, "seed": None if exact else seed}
    negative = real[real < 0]
    if complete_below > -1:
        count = Finding(int((real < -1).sum()), **about)  # type: ignore[arg-type]
    else:
        seen = int((real < -1).sum())
        reason = f"at least {seen}: more eigenvalues lie left of −1 than were computed"
        count = Finding.missing(Status.NOT_CONVERGED, reason)
    if negative.size:
        leftmost = float(negative.min())
        return LeftmostEigenvalues(
            Finding(leftmost, **about),  # type: ignore[arg-type]
            Finding(-1 / leftmost, **about),  # type: ignore[arg-type]
            count,
        )
    if complete_below >= 0 or exact:
        none = "no real eigenvalue of J_F is negative"
        return LeftmostEigenvalues(
            Finding.missing(Status.NOT_APPLICABLE, none, Evidence.NOT_APPLICABLE),
            Finding.missing(Status.INFINITE, none, evidence),
            count,
        )
    step = -1 / complete_below
    bound = f"every real eigenvalue is above {complete_below:.4g}, so the critical step is above {step:.4g}"
    lost = Finding.missing(Status.NOT_CONVERGED, bound)
    return LeftmostEigenvalues(lost, lost, count)


def _dtype(lin: Linearization) -> str:
    return str(lin.x.dtype).removeprefix("torch.")


def _numpy(t: Tensor) -> Vector:
    return t.reshape(-1).to(device="cpu", dtype=torch.float64).numpy()
