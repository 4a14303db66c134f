"""The direction that J shrinks most: the right singular vector of its smallest singular value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg as sparse
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization

__all__ = ["smallest_singular_vector"]

# Up to this order the decomposition is made in full: it is faster there.
_DENSE = 600
# A direction for a picture: its residual is far below what 8 bits show.
_TOLERANCE = 1e-6


def smallest_singular_vector(factorization: JacobianFactorization, *, seed: int = 0) -> tuple[Tensor, float]:
    """Return a unit vector v with ‖J v‖ = σ_min up to the iteration's tolerance, and ‖J v‖ itself.

    Args:
        factorization: of J, with its factors kept.
        seed: of the start vector.

    Returns:
        v of shape (1, *shape), and ‖J v‖ computed by a product with J: an upper bound of σ_min whatever v is.

    Raises:
        ArithmeticError: Lanczos iterations did not converge, or J is singular to working precision.
    """
    lin = factorization.linearization
    n, shape = lin.dimension, lin.x.shape
    if n <= _DENSE:
        basis = torch.eye(n, dtype=lin.x.dtype, device=lin.x.device).reshape(n, *shape[1:])
        # the rows of this matrix are the images of the basis: Jᵀ, whose left singular vectors are J's right ones
        left = torch.linalg.svd(lin.apply(basis).reshape(n, n))[0]
        return _measured(factorization, left[:, -1].reshape(shape))

    def product(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        image = torch.from_numpy(np.ascontiguousarray(v)).to(lin.x).reshape(shape)
        solved = factorization.solve(factorization.solve_transpose(image))
        return solved.reshape(-1).to(device="cpu", dtype=torch.float64).numpy()

    operator = sparse.LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n)
    try:
        _, vectors = sparse.eigsh(operator, k=1, which="LM", v0=start, tol=_TOLERANCE, maxiter=200)
    except sparse.ArpackError as error:
        raise ArithmeticError(
            "Lanczos iterations for the smallest singular vector did not converge"
        ) from error
    return _measured(factorization, torch.from_numpy(vectors[:, 0].copy()).to(lin.x).reshape(shape))


def _measured(factorization: JacobianFactorization, v: Tensor) -> tuple[Tensor, float]:
    size = float(torch.linalg.vector_norm(factorization.linearization.apply(v)))
    if not np.isfinite(size):
        raise ArithmeticError("J is singular to working precision")
    return v, size
