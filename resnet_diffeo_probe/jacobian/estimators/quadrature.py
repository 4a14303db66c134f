"""Quadrature rules for the logarithm from a bidiagonal matrix, and what they exclude of the spectrum.

For a start vector v, vᵀ f(JᵀJ) v is the integral of f over a measure of mass one on the eigenvalues of JᵀJ. Odd
derivatives of the logarithm are positive and even ones negative: the Gauss rule is an upper bound, and the Gauss–Radau
rule with a node below the spectrum a lower one (Golub and Meurant, Matrices, Moments and Quadrature, 2010, theorems
6.4 and 6.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_diffeo_probe.jacobian.estimators.bidiagonal import Bidiagonalization

__all__ = ["Moments", "Rules", "rules_of"]

Array = npt.NDArray[np.float64]
_GRID = 64


@dataclass(frozen=True)
class Moments:
    """Integrals over the measures of m start vectors.

    Attributes:
        mean: (m,) of log σ.
        square: (m,) of (log σ)².
    """

    mean: Array
    square: Array


@dataclass(frozen=True)
class Rules:
    """The rules of k steps; squares of the entries of B_k with rows of exhausted spaces filled up.

    Attributes:
        q: (m, k) α².
        e: (m, k) β², the next one included.
        nodes: (m, k) singular values of B_k.
        weights: (m, k) of the Gauss rule.
    """

    q: Array
    e: Array
    nodes: Array
    weights: Array

    @property
    def smallest(self) -> float:
        """The smallest node σ over all start vectors: an upper bound of sigma_min."""
        return float(np.where(self.weights > 0, self.nodes, np.inf).min())

    @property
    def largest(self) -> float:
        """The largest node σ: a lower bound of sigma_max."""
        return float(np.where(self.weights > 0, self.nodes, 0).max())

    def gauss(self) -> Moments:
        """Return the Gauss rule: upper bounds of the integrals of log σ. No node may be zero."""
        log = np.log(self.nodes)
        return Moments((self.weights * log).sum(axis=1), (self.weights * log**2).sum(axis=1))

    def radau(self, sigma: float) -> Moments:
        """Return the Gauss–Radau rule with a node at sigma ≤ sigma_min: lower bounds of the integrals of log σ."""
        a = sigma**2
        q, e = _shifted(self.q, self.e, np.array([a]))
        q, e = np.maximum(q[..., 0], 0), np.maximum(e[..., 0], 0)
        count, k = q.shape
        extended = np.zeros((count, k, k + 1))
        index = np.arange(k)
        extended[:, index, index], extended[:, index, index + 1] = np.sqrt(q), np.sqrt(e)
        # BᵀB + a has the node a exactly: the extended matrix has one column more than rows
        _, s, vh = np.linalg.svd(extended, full_matrices=True)
        log = 0.5 * np.log(np.concatenate([s**2, np.zeros((count, 1))], axis=1) + a)
        weights = vh[:, :, 0] ** 2
        return Moments((weights * log).sum(axis=1), (weights * log**2).sum(axis=1))

    def mass_at_most(self, sigmas: Array) -> Array:
        """Return (len(sigmas),) the largest mass that the m measures together can have at each σ outside their nodes.

        The Christoffel function 1 / Σ p_j(σ²)², the weight of the Radau rule's own node. It falls away from the nodes.
        """
        q, _ = _shifted(self.q, self.e, sigmas**2)
        with np.errstate(divide="ignore"):
            ratio = 2 * np.log(np.abs(q)) - np.log(self.q * self.e)[..., None]
        ratio = np.where(self.e[..., None] > 0, ratio, np.inf)
        logs = np.concatenate([np.zeros_like(ratio[:, :1]), np.cumsum(ratio, axis=1)], axis=1)
        known = np.isposinf(logs).any(axis=1)  # a measure known completely has no mass elsewhere
        kept = np.where(np.isfinite(logs), logs, -np.inf)
        top = kept.max(axis=1)
        mass = np.where(known, 0.0, np.exp(-top) / np.exp(kept - top[:, None]).sum(axis=1))
        total: Array = mass.sum(axis=0)
        return total

    def sigma_min_above(self, mass: float, floor: float) -> float:
        """Return a σ below which no singular value has this mass in the m measures together, or `floor`."""
        low, high = floor, self.smallest
        for _ in range(2):
            if not low < high:
                return min(low, high)
            sigmas = np.geomspace(low, high, _GRID)[:-1]
            excluded = np.flatnonzero(self.mass_at_most(sigmas) < mass)
            if excluded.size == 0:
                return low
            last = int(excluded[-1])
            low, high = float(sigmas[last]), float(sigmas[last + 1] if last + 1 < len(sigmas) else high)
        return low

    def sigma_max_below(self, mass: float) -> float:
        """Return a σ above which no singular value has this mass in the m measures together."""
        largest = self.largest
        sigmas = largest * (1 + np.geomspace(1e-12, 1e6, 4 * _GRID))
        excluded = np.flatnonzero(self.mass_at_most(sigmas) < mass)
        return float(sigmas[excluded[0]]) if excluded.size else float("inf")


def rules_of(reduced: Bidiagonalization) -> Rules:
    """Return the rules after the steps taken so far."""
    alphas, betas = reduced.alphas, reduced.betas
    count, k = alphas.shape
    behind = np.arange(k) >= reduced.lengths[:, None]
    # rows behind the end of an exhausted space: decoupled, so of weight zero, and harmless under the logarithm
    alphas = np.where(behind, max(float(alphas.max()), 1e-300), alphas)
    B = np.zeros((count, k, k))
    index = np.arange(k)
    B[:, index, index], B[:, index[:-1], index[1:]] = alphas, betas[:, :-1]
    _, nodes, vh = np.linalg.svd(B)
    return Rules(alphas**2, betas**2, nodes, vh[:, :, 0] ** 2)


def _shifted(q: Array, e: Array, shifts: Array) -> tuple[Array, Array]:
    """Return the squares of B̂ with B̂ᵀB̂ = BᵀB − x for each shift x, (m, k, len(shifts)).

    The differential stationary qd transform: no subtraction of large numbers, so the relative accuracy of small
    singular values is kept (Fernando and Parlett, Numer. Math. 67, 1994). Entries are negative above the spectrum.
    """
    shifted_q = np.empty((*q.shape, len(shifts)))
    shifted_e = np.empty_like(shifted_q)
    s = np.broadcast_to(-shifts, (len(q), len(shifts)))
    tiny = np.finfo(np.float64).tiny
    for i in range(q.shape[1]):
        pivot = s + q[:, i, None]
        pivot = np.where(np.abs(pivot) < tiny, tiny, pivot)
        ratio = e[:, i, None] / pivot
        shifted_q[:, i], shifted_e[:, i] = pivot, ratio * q[:, i, None]
        s = s * ratio - shifts
    return shifted_q, shifted_e
