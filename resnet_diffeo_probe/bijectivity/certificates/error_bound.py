"""How far an approximate preimage is from a true one: a computable bound.

Either Lip(F) ≤ L < 1, and the error is at most ‖g(x) − y‖ / (1 − L). Or J₀ = J(x) is regular, and the simplified Newton
map T(v) = v − J₀⁻¹(g(v) − y) contracts by q on the ball of radius R around x, where q bounds ‖J₀⁻¹(J(v) − J₀)‖; with
η = ‖J₀⁻¹(g(x) − y)‖ and η ≤ (1 − q) R there is exactly one preimage in the ball, and it is at most η / (1 − q) away
(Ortega & Rheinboldt, Iterative Solution of Nonlinear Equations, 1970, section 12.6). A branch that is piecewise linear
has q = 0 if no kink lies in the ball.

See docs/mathematics.md, "The inverse, and how far it is from the true one".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import Kinked, kinked_steps, norm
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import segment_bound
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import curvature_bound, slope_bound
from resnet_diffeo_probe.jacobian import (
    JacobianFactorization,
    Linearization,
    UnitJacobian,
    smallest_singular_value,
)

__all__ = [
    "BranchBounds",
    "ErrorBound",
    "branch_bounds",
    "contraction_bound",
    "newton_bound",
    "residual_rounding",
]


@dataclass(frozen=True)
class BranchBounds:
    """Lipschitz constants of the parts of a branch, each an upper bound with a proof.

    Attributes:
        before: for each activation, of its pre-activations as a function of the unit's input.
        after: for each activation, of the branch's output as a function of the activation's output.
        slopes: of the activations.
        curvatures: of their derivatives; 0 for piecewise linear ones, None where unknown.
        steps: the activations.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    slopes: tuple[float, ...]
    curvatures: tuple[float | None, ...]
    steps: tuple[Kinked, ...]

    @property
    def jacobian_lipschitz(self) -> float | None:
        """Of x ↦ J(x) between kinks, in the spectral norm: Σ_j after_j · curvature_j · before_j²."""
        total = 0.0
        for before, after, curvature in zip(self.before, self.after, self.curvatures, strict=True):
            if curvature is None:
                return None
            total += after * curvature * before**2
        return total


def branch_bounds(jacobian: UnitJacobian) -> BranchBounds | None:
    """Bound the parts of a branch, once for all inputs.

    None where a step is not pointwise or no bound of its slope is known.
    """
    steps = kinked_steps(jacobian)
    if steps is None or getattr(jacobian, "not_read", None):
        return None
    segments = jacobian.chain.segments
    norms = [segment_bound(segment).upper or 0.0 for segment in segments]
    slopes = [slope_bound(act, segment.out_shape) for act, segment in zip(steps, segments, strict=False)]
    if any(slope is None for slope in slopes):
        return None
    known = [float(slope) for slope in slopes if slope is not None]
    before, after = [], []
    reach = 1.0
    for j in range(len(steps)):
        reach *= norms[j] * (known[j - 1] if j else 1.0)
        before.append(reach)
        tail = norms[j + 1]
        for k in range(j + 1, len(steps)):
            tail *= known[k] * norms[k + 1]
        after.append(tail)
    curvatures = tuple(0.0 if act.piecewise_linear else curvature_bound(act) for act in steps)
    return BranchBounds(tuple(before), tuple(after), tuple(known), curvatures, steps)


@dataclass(frozen=True)
class ErrorBound:
    """How far the nearest true preimage can be.

    Attributes:
        value: bound of ‖x − x*‖; None where none was had.
        unique_within: radius of the ball around x in which x* is the only preimage; None if it is the only one at all.
        proof: what the bound rests on, or why there is none.
    """

    value: float | None
    unique_within: float | None
    proof: str


def residual_rounding(lin: Linearization) -> float:
    """Return how wrong ‖g(x) − y‖ may be by the rounding of g: a generous estimate, not a bound."""
    eps = float(torch.finfo(lin.x.dtype).eps)
    depth = 2 + len(lin.pre_activations)
    sizes = [norm(lin.x), norm(lin.branch_output), *(norm(z) for z in lin.pre_activations)]
    return 8 * eps * depth * max(sizes)


def contraction_bound(lin: Linearization, y: Tensor, lipschitz: float) -> ErrorBound:
    """Bound the error by Lip(F) ≤ L < 1.

    Args:
        lin: the unit at the approximate preimage.
        y: (1, *shape).
        lipschitz: L.
    """
    residual = norm(lin.x + lin.branch_output - y) + residual_rounding(lin)
    return ErrorBound(residual / (1 - lipschitz), None, "Lip(F) < 1")


def newton_bound(
    factorization: JacobianFactorization,
    y: Tensor,
    bounds: BranchBounds | None,
    *,
    sigma_min: float | None = None,
) -> ErrorBound:
    """Bound the error by the Jacobian at the approximate preimage.

    Args:
        factorization: of the Jacobian there.
        y: (1, *shape).
        bounds: of the branch.
        sigma_min: smallest singular value of that Jacobian; computed if None.
    """
    lin = factorization.linearization
    if bounds is None or (lipschitz := bounds.jacobian_lipschitz) is None:
        return ErrorBound(None, None, "no bound of how fast the Jacobian changes is known for this branch")
    if sigma_min is None:
        sigma_min = smallest_singular_value(lin, factorization).value
    if not sigma_min:
        return ErrorBound(None, None, "the smallest singular value of the Jacobian is not known, or zero")
    step = factorization.solve(lin.x + lin.branch_output - y)
    eta = norm(step) + residual_rounding(lin) / sigma_min
    radius = 2 * eta
    clear = clearance(lin, bounds)
    if radius >= clear:
        return ErrorBound(
            None,
            None,
            f"a kink lies within {clear:.1e}, nearer than twice the last Newton step ({radius:.1e})",
        )
    q = lipschitz * radius / sigma_min
    if q > 0.5:
        return ErrorBound(None, None, f"the Jacobian may change too much within {radius:.1e} (q = {q:.1e})")
    widest = min(clear, 0.5 * sigma_min / lipschitz) if lipschitz > 0 else clear
    proof = "no kink in the ball and a regular Jacobian" if lipschitz == 0 else "Newton and Kantorovich"
    return ErrorBound(eta / (1 - q), widest if math.isfinite(widest) else None, proof)


def clearance(lin: Linearization, bounds: BranchBounds) -> float:
    """Return a radius around x without a kink: min |z − kink| / Lip(z), over all hidden units."""
    nearest = math.inf
    for act, z, reach in zip(bounds.steps, lin.pre_activations, bounds.before, strict=True):
        for kink in act.kinks:
            if z.numel() and reach > 0:
                nearest = min(nearest, float((z - kink).abs().min()) / reach)
    return nearest
