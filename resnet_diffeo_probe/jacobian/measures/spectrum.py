"""Extreme singular values of J and the real eigenvalues of J_F at the left, from products and solves.

ARPACK (scipy) does the iterations; every value comes with an error from its residual.
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

__all__ = [
    "LeftmostEigenvalues",
    "largest_singular_value",
    "leftmost_by_products",
    "leftmost_real_eigenvalues",
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


def largest_singular_value(lin: Linearization, *, seed: int = 0) -> Finding:
    """Return the largest singular value of J, with the error that its residual proves.

    Args:
        lin: the unit at an input.
        seed: of the start vector.
    """
    if lin.dimension <= _DENSE_SINGULAR:
        return Finding(float(lin.singular_values[0]), dtype="float64")
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
        return Finding(float(lin.singular_values[-1]), dtype="float64")
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
    return Finding(value, Evidence.ESTIMATED, error=error, dtype="float64", seed=seed)


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
        return _from_real(np.zeros(0), complete_below=math.inf, error=0.0, exact=True, seed=seed)
    apply = _reduced_product(lin) if lin.rank == 0 else _branch_product(lin)
    return leftmost_by_products(apply, order, counts=counts, seed=seed)


def leftmost_by_products(
    apply: Callable[[Vector], Vector], order: int, *, counts: bool = True, seed: int = 0
) -> LeftmostEigenvalues:
    """Find the same of any matrix, by its products with vectors.

    Args:
        apply: (order,) -> (order,), float64.
        order: of the matrix, at least 1.
        counts: as above.
        seed: of the start vector.
    """
    if order <= _DENSE_EIGEN:
        matrix = np.column_stack([apply(column) for column in np.eye(order)])
        values = np.linalg.eigvals(matrix)
        return _from_real(
            values[values.imag == 0].real, complete_below=math.inf, error=0.0, exact=True, seed=seed
        )
    operator = sparse.LinearOperator((order, order), matvec=apply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(order)
    image = apply(start)
    if not image.any():
        # a matrix that takes a random vector to exactly zero has every row zero, or below the smallest number
        return _from_real(np.zeros(0), complete_below=math.inf, error=0.0, exact=False, seed=seed)
    found = None
    for k in (k for k in _ATTEMPTS if k < order - 1):
        try:
            values, vectors = sparse.eigs(
                operator, k=k, which="SR", v0=start, ncv=min(order, 2 * k + 30), tol=_TOLERANCE, maxiter=60
            )
        except sparse.ArpackError:  # no convergence, or a start that the iterations end at
            break
        real = values.imag == 0
        reach = float(values.real.max())
        errors = [
            float(np.linalg.norm(apply(v) - value * v))
            for value, v in zip(values.real[real], vectors.real[:, real].T, strict=True)
        ]
        found = _from_real(
            values.real[real], complete_below=reach, error=max(errors, default=0.0), exact=False, seed=seed
        )
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
    real: Vector, *, complete_below: float, error: float, exact: bool, seed: int
) -> LeftmostEigenvalues:
    """Turn the real eigenvalues at the left, all of those below `complete_below`, into findings."""
    evidence = Evidence.EXACT if exact else Evidence.ESTIMATED
    about = {"evidence": evidence, "dtype": "float64", "seed": None if exact else seed}
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
            Finding(leftmost, error=error, **about),  # type: ignore[arg-type]
            Finding(-1 / leftmost, error=error / leftmost**2, **about),  # type: ignore[arg-type]
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


def _numpy(t: Tensor) -> Vector:
    return t.reshape(-1).to(device="cpu", dtype=torch.float64).numpy()
