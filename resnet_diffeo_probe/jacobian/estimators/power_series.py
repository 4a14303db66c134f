"""The literature's estimator of log|det(I + J_F)|: Σ (−1)^{k+1} tr(J_F^k)/k, only where it converges.

Behrmann et al., Invertible residual networks (ICML 2019), equation 4; Chen et al., Residual flows (NeurIPS 2019). There
layers are normalised to contract. A pretrained unit is not, and the series diverges where the spectral radius of J_F is
above one, without any sign of it in the first terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg as sparse
import torch

from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.bidiagonal import Bidiagonalization, random_frame
from resnet_diffeo_probe.jacobian.estimators.interval import (
    SPECTRUM_RISK,
    eigenvector_mass,
    trace_half_width,
)
from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap
from resnet_diffeo_probe.jacobian.estimators.quadrature import rules_of

__all__ = ["Contraction", "contraction_of", "logdet_by_power_series", "series_samples"]

Array = npt.NDArray[np.float64]

# ρ(J_F) ≤ ‖J_F^p‖^(1/p) for every p, and → as p grows: a non-normal J_F needs more than its own norm.
_POWERS = (1, 2, 4, 8, 16)
_NORM_STEPS = 24
_DENSE = 200
_TRUNCATION_SHARE = 0.1
# Where the series diverges, these of its partial sums are shown.
_SHOWN_TERMS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Contraction:
    """What is known of the spectral radius ρ of J_F.

    Attributes:
        power: p, or None where no power was seen to contract.
        bound: upper bound of ‖J_F^p‖₂, below one; all bounds together fail with probability below 0.2 %.
        norm: upper bound of ‖J_F‖₂.
        radius: modulus of the largest eigenvalue that was looked at; None where that was not needed.
    """

    power: int | None
    bound: float
    norm: float
    radius: float | None

    def tail(self, first: int) -> float:
        """Return an upper bound of Σ_{k ≥ first} ‖J_F^k‖₂ / k; needs a power that contracts."""
        if self.power is None:
            return math.inf
        # ‖J^k‖ ≤ ‖J^p‖^⌊k/p⌋ ‖J‖^(k mod p): p exponents k share one ⌊k/p⌋
        remainder = max(1.0, self.norm ** (self.power - 1))
        return remainder * self.power * self.bound ** (first // self.power) / (first * (1 - self.bound))


def contraction_of(J_F: LinearMap, *, probes: int = 8, seed: int = 0) -> Contraction:
    """Look for a power of J_F that contracts.

    Args:
        J_F: products with the Jacobian of the branch.
        probes: random vectors for the norms.
        seed: of the vectors.
    """
    n = J_F.columns
    starts = random_frame(min(probes, n), n, seed, J_F.device)
    mass = eigenvector_mass(len(starts), n, SPECTRUM_RISK / len(_POWERS))
    norm = math.inf
    radius = None
    for power in _POWERS:
        reduced = Bidiagonalization(J_F.power(power), starts, _NORM_STEPS)
        reduced.extend(_NORM_STEPS)
        bound = rules_of(reduced).sigma_max_below(mass)
        norm = bound if power == 1 else norm
        if bound < 1:
            return Contraction(power, bound, norm, radius)
        if radius is None:
            radius = _largest_modulus(J_F, seed)
        if radius >= 1:
            break
    return Contraction(None, math.inf, norm, radius)


def series_samples(J_F: LinearMap, terms: int, *, probes: int = 16, seed: int = 0) -> Array:
    """Return (terms, m) the partial sums of n Σ (−1)^{k+1} zᵀJ_F^k z / k for each probe, whether they converge or not.

    Args:
        J_F: products with the Jacobian of the branch.
        terms: how many.
        probes: random vectors.
        seed: of the vectors.
    """
    return _partial_sums(J_F, terms, probes, seed)[0]


def logdet_by_power_series(
    J_F: LinearMap, *, max_terms: int = 200, probes: int = 16, seed: int = 0
) -> Finding:
    """Estimate log|det(I + J_F)| by the power series. It gives no sign.

    Args:
        J_F: products with the Jacobian of the branch.
        max_terms: of the series; as many are taken as the bound of the rest asks for.
        probes: random vectors, at least 2; n of them give the traces without chance.
        seed: of the probes.

    Returns:
        An estimate with a 95 % interval that holds the rest of the series; without a value, `NOT_APPLICABLE` where the
        spectral radius of J_F is at least one, `NOT_CONVERGED` where it was not seen to be smaller.

    Raises:
        ValueError: fewer than two probes, of a matrix that needs more than one.
    """
    n = J_F.columns
    if probes < 2 and n > 1:
        raise ValueError(f"an interval needs at least 2 probes, not {probes}")
    known = contraction_of(J_F, seed=seed)
    if known.power is None:
        if known.radius is not None and known.radius >= 1:
            return Finding.missing(
                Status.NOT_APPLICABLE,
                f"J_F has an eigenvalue of modulus {known.radius:.4g}: the power series of log(I + J_F) diverges; "
                f"{_shown_sums(J_F, probes, seed)}",
                Evidence.NOT_APPLICABLE,
            )
        return Finding.missing(
            Status.NOT_CONVERGED,
            f"the spectral radius of J_F was not seen to be below one (no power up to {_POWERS[-1]} contracts), so "
            "the power series of log(I + J_F) may diverge",
        )
    terms = 8
    while True:
        terms = min(terms, max_terms)
        sums, squares = _partial_sums(J_F, terms, probes, seed)
        samples = sums[-1]
        chance = trace_half_width(samples, squares, n)
        rest = n * known.tail(terms + 1)
        if terms == max_terms or rest <= max(_TRUNCATION_SHARE * chance, 1e-12 * n):
            break
        terms *= 2
    value = float(samples.mean())
    width = chance + rest + n * terms * J_F.eps * max(1.0, known.norm)
    return Finding(
        value,
        Evidence.ESTIMATED,
        interval=(value - width, value + width),
        dtype=J_F.dtype,
        seed=seed,
        reason=f"no sign: {terms} terms of the power series, ‖J_F^{known.power}‖ below {known.bound:.3g}",
    )


def _shown_sums(J_F: LinearMap, probes: int, seed: int) -> str:
    sums = series_samples(J_F, _SHOWN_TERMS[-1], probes=probes, seed=seed).mean(axis=1)
    shown = ", ".join(f"{sums[terms - 1]:.5g}" for terms in _SHOWN_TERMS)
    return f"its partial sums after {', '.join(map(str, _SHOWN_TERMS))} terms are {shown}"


def _partial_sums(J_F: LinearMap, terms: int, probes: int, seed: int) -> tuple[Array, Array]:
    """Return the partial sums (terms, m) of n zᵀL z and (m,) n ‖L z‖², an upper bound of what its square says."""
    n = J_F.columns
    # other vectors than those of the norms
    z = random_frame(min(probes, n), n, seed + 1, J_F.device)
    power, image = z, torch.zeros_like(z)
    sums = []
    for k in range(1, terms + 1):
        power = J_F.apply(power)
        image = image + (-1) ** (k + 1) / k * power
        sums.append(n * (z * image).sum(dim=1))
    return torch.stack(sums).cpu().numpy(), (n * image.square().sum(dim=1)).cpu().numpy()


def _largest_modulus(J_F: LinearMap, seed: int) -> float:
    """Return the modulus of the largest eigenvalue found, 0 where none converged."""
    n = J_F.columns

    def product(v: Array) -> Array:
        column = torch.from_numpy(np.ascontiguousarray(v.reshape(1, -1))).to(J_F.device)
        return J_F.apply(column)[0].cpu().numpy()

    if n <= _DENSE:
        matrix = J_F.apply(torch.eye(n, dtype=torch.float64, device=J_F.device)).mT.cpu().numpy()
        return float(np.abs(np.linalg.eigvals(matrix)).max())
    operator = sparse.LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n)
    try:
        values = sparse.eigs(
            operator, k=1, which="LM", v0=start, maxiter=50, tol=1e-6, return_eigenvectors=False
        )
    except sparse.ArpackNoConvergence as failure:
        values = failure.eigenvalues
    return float(np.abs(values).max(initial=0.0))
