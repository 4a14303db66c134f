"""Is there, near a computed point, a point with exactly a given image? Newton and Kantorovich, all constants bounded.

With X an approximate inverse of J(x), ‖I − XJ(x)‖ ≤ ε, T(v) = v − X(g(v) − y) contracts on the ball of radius r about x
by q = ε + ‖X‖·L·r, L the Lipschitz constant of J there: 0 where the branch is piecewise linear and no hidden unit can
reach a kink within r. If ‖X‖·‖g(x) − y‖ ≤ (1 − q) r, T maps the ball into itself, and its fixed point x* has g(x*) = y
(Banach; Ortega & Rheinboldt, Iterative Solution of Nonlinear Equations, 1970, section 12.6). g is the map in exact
arithmetic with the stored parameters: ‖g(x) − y‖ is what was computed plus the bound of its rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.certificates.hidden_reach import reaches
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import InverseBound
from resnet_diffeo_probe.bijectivity.certificates.rounding import ForwardError
from resnet_diffeo_probe.jacobian import Linearization

__all__ = ["Enclosure", "clear_radius", "enclose"]

_UP = 1 + 1e-9


@dataclass(frozen=True)
class Enclosure:
    """A ball that holds an exact solution of g(x*) = y, with what that rests on.

    Attributes:
        radius: of the ball around the computed point; None where nothing is proven.
        unique_within: in the ball of this radius, it is the only solution; infinite where it is the only one at all.
        defect: ‖g(x) − y‖ is at most this, rounding included.
        rounding: the part of it that is a bound of rounding.
        inverse_norm: bound of ‖X‖.
        residual: bound of ‖I − XJ(x)‖.
        lipschitz: of J between kinks.
        clear: no kink lies within this radius.
        failure: all of it holds except with a probability below this; 0 where that is proven.
        reason: why nothing is proven.
    """

    radius: float | None
    unique_within: float
    defect: float
    rounding: float
    inverse_norm: float
    residual: float
    lipschitz: float
    clear: float
    failure: float
    reason: str | None = None

    def premises(self) -> list[dict[str, Any]]:
        """Return what it rests on as JSON objects: each a statement with its bound, and what that had to be below."""
        found: list[tuple[str, float, float | None]] = [
            ("rounding of the map at the points, at most", self.rounding, None),
            ("distance of the exact images, at most", self.defect, None),
            ("norm of the approximate inverse X of J, at most", self.inverse_norm, None),
            ("norm of I − XJ, at most", self.residual, 1.0),
            ("Lipschitz constant of J between kinks, at most", self.lipschitz, None),
            ("a point with exactly the other's image lies within", self.radius or math.inf, self.clear),
            ("probability that a bound fails, below", self.failure, None),
        ]
        return [
            {"statement": text, "bound": bound}
            | ({} if limit is None or not math.isfinite(limit) else {"to_be_below": limit})
            for text, bound, limit in found
            if math.isfinite(bound)
        ]


def enclose(
    lin: Linearization,
    inverse: InverseBound,
    bounds: BranchBounds,
    forward: ForwardError,
    *,
    gap: float,
    rounding: float,
) -> Enclosure:
    """Enclose a solution of g(x*) = y near x.

    Args:
        lin: the unit at x.
        inverse: of its Jacobian, checked.
        bounds: of its branch.
        forward: rounding of the branch at x.
        gap: ‖g(x) − y‖ as it was computed.
        rounding: how far that may be from the exact one.
    """
    defect = (gap + rounding) * _UP
    eps, size = inverse.residual, inverse.inverse_norm
    lipschitz = bounds.jacobian_lipschitz
    clear = clear_radius(lin, bounds, forward)

    def found(radius: float | None, unique: float = 0.0, reason: str | None = None) -> Enclosure:
        constant = math.inf if lipschitz is None else lipschitz
        return Enclosure(
            radius, unique, defect, rounding, size, eps, constant, clear, inverse.failure, reason
        )

    if lipschitz is None:
        return found(None, reason="no bound of how fast the Jacobian changes is known for this branch")
    if not inverse.regular:
        return found(None, reason="the Jacobian is within rounding of a singular one")
    step, slack = size * defect * _UP, (1 - eps) / _UP
    root = slack**2 - 4 * size * lipschitz * step * _UP
    if not root > 0:
        return found(None, reason=f"the Jacobian may change too much within {2 * step:.1e}")
    radius = 2 * step / (slack + math.sqrt(root)) * _UP
    if not radius < clear:
        return found(
            None, reason=f"a kink may lie within {clear:.1e}, nearer than the exact solution ({radius:.1e})"
        )
    contracts = slack / (size * lipschitz) / _UP if lipschitz > 0 else math.inf
    return found(radius, min(clear, contracts))


def clear_radius(lin: Linearization, bounds: BranchBounds, forward: ForwardError) -> float:
    """Return a radius around x within which no hidden unit reaches a kink, the rounding of pre-activations included."""
    nearest = math.inf
    if not any(act.kinks for act in bounds.steps):
        return nearest
    for act, z, error, reach in zip(
        bounds.steps, lin.pre_activations, forward.met, reaches(lin.parent, bounds, 2), strict=True
    ):
        for kink in act.kinks:
            gap = ((z.double() - kink).abs() * (1 - 1e-15) - error.reshape(z.shape)).clamp_min(0)
            # where nothing moves a unit its slope changes nothing
            room = torch.where(reach > 0, gap / (reach.double() * _UP), torch.inf)
            nearest = min(nearest, float(room.min()) if room.numel() else math.inf)
    return nearest
