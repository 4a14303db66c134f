"""What a checked approximate inverse X of J proves: ‖J⁻¹‖ from above and σ_min from below.

With ‖I − XJ‖₂ ≤ ε < 1 both are regular, J⁻¹ = (I − (I − XJ))⁻¹ X, so ‖J⁻¹‖₂ ≤ ‖X‖₂ / (1 − ε) and
σ_min ≥ (1 − ε) / ‖X‖₂ (Rump, Verification methods, Acta Numerica 19, 2010, section 10). J here is the Jacobian in exact
arithmetic: how far its computed products may be from it is part of ε.

* Few coordinates: X, J and I − XJ are formed, and their norms bounded with all rounding. That is a proof.
* Many: for Gaussian v, ‖B‖_F ≤ rms‖Bvᵢ‖ / c except with a known probability (`gaussian_bounds`). It is used twice, for
  B = I − XᵀJᵀ and for B = (XXᵀ)ᵏ, whose norm is ‖X‖₂ to the power 2k: the loss 1/c is left with its 2k-th root. X is
  what the solves compute; their rounding is seen in the residual and not bounded by itself. The statement then fails
  with a probability below `failure`, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from resnet_diffeo_probe.bijectivity.certificates.absolute import absolute_norm, longest_row
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.certificates.operator_norm import gram_bound
from resnet_diffeo_probe.bijectivity.certificates.rounding import ForwardError
from resnet_diffeo_probe.jacobian import JacobianFactorization, Linearization
from resnet_diffeo_probe.jacobian.measures.gaussian_bounds import FAILURE, frobenius_bound, probe_count

__all__ = ["InverseBound", "inverse_bound", "jacobian_rounding"]

# Up to this many coordinates J⁻¹ is formed.
_DENSE = 256
# ‖X‖ is read off (X Xᵀ)ᵏ: k = 3 leaves 1.9 of a loss of 46.
_POWER = 3


@dataclass(frozen=True)
class InverseBound:
    """Norms of an approximate inverse X of J.

    Attributes:
        residual: ‖I − XJ‖₂ is at most this; infinite where J came out as singular.
        inverse_norm: ‖X‖₂ is at most this.
        failure: the two hold except with a probability below this; 0 where they are proven.
    """

    residual: float
    inverse_norm: float
    failure: float

    @property
    def regular(self) -> bool:
        """Whether J is regular."""
        return self.residual < 1 and math.isfinite(self.inverse_norm)

    @property
    def sigma_min(self) -> float:
        """A lower bound of the smallest singular value of J; 0 where none was had."""
        if not self.regular or self.inverse_norm <= 0:
            return 0.0
        return (1 - self.residual) / self.inverse_norm * (1 - 1e-12)

    @property
    def certainty(self) -> str:
        """How certain the bounds are, for people."""
        return "" if self.failure == 0 else f"except with a probability below {self.failure:.0e}"


NOTHING = InverseBound(math.inf, math.inf, 0.0)


def jacobian_rounding(lin: Linearization, bounds: BranchBounds, forward: ForwardError) -> float:
    """Bound ‖Ĵ − J‖₂, Ĵ as products with it are computed: rounded sums, folded norms, derivatives at rounded arguments.

    Piecewise linear activations have the slopes of the cell in which the computed pre-activations lie.

    Args:
        lin: the unit at an input.
        bounds: of the branch.
        forward: of the pass that led to the linearisation.
    """
    unit = float(torch.finfo(lin.x.dtype).eps) / 2
    product, terms = 1.0, 8
    for segment in lin.parent.chain.segments:
        for known in segment.operators:
            matrix = known.matrix()
            product *= absolute_norm(matrix)
            terms += longest_row(matrix) + 16
    for slope in bounds.slopes:
        product *= max(slope, 1.0)
        terms += 32
    total = 2 * unit * terms * (1 + product)
    for before, after, curvature, error in zip(
        bounds.before, bounds.after, bounds.curvatures, forward.met, strict=True
    ):
        if curvature is None:
            return math.inf
        total += after * before * (curvature * float(error.max() if error.numel() else 0.0))
    return total


def inverse_bound(
    factorization: JacobianFactorization,
    bounds: BranchBounds,
    forward: ForwardError,
    *,
    seed: int = 0,
) -> InverseBound:
    """Check the inverse of J and bound its norm.

    Args:
        factorization: of J, with kept factors.
        bounds: of the branch.
        forward: rounding of the branch at that input.
        seed: of the random vectors.
    """
    lin = factorization.linearization
    rounding = jacobian_rounding(lin, bounds, forward)
    if not math.isfinite(rounding) or not bool(torch.isfinite(lin.x).all()):
        return NOTHING
    if factorization.sign == 0:
        return NOTHING
    if lin.dimension <= _DENSE:
        return _formed(factorization, rounding)
    return _by_vectors(factorization, rounding, seed)


def _formed(factorization: JacobianFactorization, rounding: float) -> InverseBound:
    """Form J from the branch's own derivatives, and its inverse."""
    lin = factorization.linearization
    n = lin.dimension
    eye = torch.eye(n, dtype=lin.x.dtype, device=lin.x.device)
    J = lin.apply_transpose_by_autograd(eye.reshape(n, *lin.x.shape[1:])).reshape(n, n).double().cpu()
    # the inverse that solves use
    X = factorization.solve(eye.reshape(n, *lin.x.shape[1:])).reshape(n, n).mT.double().cpu()
    if not bool(torch.isfinite(X).all()):
        return NOTHING
    size = float(gram_bound(X[None])[0])
    eps = float(torch.finfo(torch.float64).eps)
    sizes = float(torch.linalg.vector_norm(X) * torch.linalg.vector_norm(J)) * (1 + 1e-9)
    residual = torch.linalg.vector_norm(torch.eye(n, dtype=torch.float64) - X @ J)
    bound = float(residual) * (1 + 1e-9) + (n + 4) * eps * (sizes + math.sqrt(n)) + size * rounding
    return InverseBound(bound, size, 0.0) if math.isfinite(bound) else NOTHING


def _by_vectors(factorization: JacobianFactorization, rounding: float, seed: int) -> InverseBound:
    """Bound both norms from products with Gaussian vectors."""
    lin = factorization.linearization
    generator = torch.Generator().manual_seed(seed)
    count = probe_count(lin.x.dtype)
    vectors = torch.randn(count, *lin.x.shape[1:], generator=generator, dtype=torch.float64, device="cpu").to(
        lin.x
    )
    first = factorization.solve_transpose(vectors)
    image = first
    for k in range(_POWER):
        image = factorization.solve(image if k == 0 else factorization.solve_transpose(image))
    rounded = torch.zeros(count, dtype=torch.float64)
    power = frobenius_bound(image.flatten(1), rounded)
    size = power ** (1 / (2 * _POWER)) * (1 + 1e-9)
    eps = float(torch.finfo(lin.x.dtype).eps)
    lengths = torch.linalg.vector_norm(first.flatten(1), dim=1, dtype=torch.float64)
    allowed = (
        rounding * lengths.cpu() + eps * torch.linalg.vector_norm(vectors.flatten(1), dim=1).cpu().double()
    )
    residual = frobenius_bound((vectors - lin.apply_transpose_by_autograd(first)).flatten(1), allowed)
    # the true J differs from the computed one by `rounding` in norm
    bound = residual + size * rounding
    if not math.isfinite(bound + size):
        return NOTHING
    return InverseBound(bound, size, 2 * FAILURE)
