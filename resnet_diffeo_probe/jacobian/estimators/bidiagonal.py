"""Golub–Kahan bidiagonalisation of several start vectors at once, with full reorthogonalisation.

J V_k = U_k B_k with B_k upper bidiagonal, so that B_kᵀ B_k is the Lanczos matrix of JᵀJ from the same start vector
(Golub and Kahan, SIAM J. Numer. Anal. 2, 1965). The singular values of B_k are as accurate as those of J: JᵀJ, whose
condition is squared, is never formed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap

__all__ = ["Bidiagonalization", "random_frame"]

Array = npt.NDArray[np.float64]


def random_frame(count: int, dimension: int, seed: int, device: torch.device | None = None) -> Tensor:
    """Return (count, dimension): orthonormal vectors, each uniform on the sphere (rows of a Haar matrix)."""
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dimension, count, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).mT.contiguous().to(device)


class Bidiagonalization:
    """B_k for each of m start vectors.

    Args:
        J: with at least as many rows as columns, or its Gram matrix is singular.
        starts: (m, columns), of length one each.
        max_steps: room for so many steps; never more than columns.

    Attributes:
        alphas: (m, k) diagonals of B_k.
        betas: (m, k): (m, k − 1) superdiagonals and the next one, zero where the Krylov space is exhausted.
        lengths: (m,) steps until the space was exhausted, else k.
        exhausted: (m,) whether it was: B_k then holds the whole spectral measure of the start vector.
    """

    def __init__(self, J: LinearMap, starts: Tensor, max_steps: int) -> None:
        count, columns = starts.shape
        self.max_steps = min(max_steps, columns)
        self._J = J
        self._V = starts.new_zeros(count, self.max_steps + 1, columns)
        self._U = starts.new_zeros(count, self.max_steps, J.rows)
        self._V[:, 0] = starts
        self._scale = starts.new_zeros(count)
        self._alphas: list[Tensor] = []
        self._betas: list[Tensor] = []
        self.exhausted = np.zeros(count, dtype=bool)
        self.lengths = np.zeros(count, dtype=np.int64)

    @property
    def steps(self) -> int:
        """The number k of steps taken."""
        return len(self._alphas)

    @property
    def alphas(self) -> Array:
        """(m, k)."""
        return torch.stack(self._alphas, dim=1).cpu().numpy()

    @property
    def betas(self) -> Array:
        """(m, k)."""
        return torch.stack(self._betas, dim=1).cpu().numpy()

    @property
    def finished(self) -> bool:
        """Whether no further step is possible or allowed."""
        return bool(self.exhausted.all()) or self.steps == self.max_steps

    def extend(self, steps: int) -> None:
        """Go on to `steps` steps, or until every space is exhausted."""
        while self.steps < min(steps, self.max_steps) and not self.finished:
            self._step()

    @property
    def right_vectors(self) -> Tensor:
        """V_k, (m, k, columns)."""
        return self._V[:, : self.steps]

    def _step(self) -> None:
        k = self.steps
        done = torch.from_numpy(self.exhausted).to(self._scale.device)
        image = _orthogonalized(self._J.apply(self._V[:, k]), self._U[:, :k])
        alpha = self._normalized(image, done)
        self._U[:, k] = image
        back = _orthogonalized(self._J.apply_transpose(image), self._V[:, : k + 1])
        beta = self._normalized(back, done)
        if k + 1 == self._J.columns:  # the whole space
            beta = torch.zeros_like(beta)
            back = torch.zeros_like(back)
        self._V[:, k + 1] = back
        self._alphas.append(alpha)
        self._betas.append(beta)
        self.lengths[~self.exhausted] = k + 1
        self.exhausted |= (beta == 0).cpu().numpy()

    def _normalized(self, vectors: Tensor, done: Tensor) -> Tensor:
        """Divide by the lengths in place and return them; what is rounding error becomes zero."""
        length = torch.linalg.vector_norm(vectors, dim=1)
        self._scale = torch.maximum(self._scale, length)
        rounding = 8 * self._J.eps * self._J.columns**0.5 * self._scale
        length = torch.where((length <= rounding) | done, torch.zeros_like(length), length)
        vectors /= torch.where(length > 0, length, torch.inf)[:, None]
        return length


def _orthogonalized(vectors: Tensor, basis: Tensor) -> Tensor:
    """Remove from (m, n) vectors their parts in (m, k, n) bases; twice is enough (Giraud et al., 2005)."""
    for _ in range(2):
        inner = torch.bmm(basis, vectors[:, :, None])
        vectors = vectors - torch.bmm(inner.mT, basis)[:, 0]
    return vectors
