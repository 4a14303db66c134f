"""How far an approximate preimage is from a true one: a computable bound.

Either Lip(F) ≤ L < 1, and the error is at most ‖g(x) − y‖ / (1 − L). Or the Jacobian at x is regular and changes little
nearby: then `enclosure` finds a ball with exactly one preimage in it. Both take ‖g(x) − y‖ with the rounding of every
operation of the branch.

See docs/mathematics.md, "The inverse, and how far it is from the true one".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds, branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.enclosure import clear_radius, enclose
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import inverse_bound
from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error, size, sum_error
from resnet_diffeo_probe.jacobian import JacobianFactorization, Linearization

__all__ = [
    "BranchBounds",
    "ErrorBound",
    "branch_bounds",
    "clearance",
    "contraction_bound",
    "newton_bound",
    "residual_rounding",
]


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


def residual_rounding(lin: Linearization) -> float | None:
    """Return how wrong ‖g(x) − y‖ may be by the rounding of g, every operation of the branch included; a bound.

    None where the branch holds an operation whose rounding is not known.
    """
    forward = forward_error(lin.parent, lin.x)
    return None if forward is None else size(sum_error(lin, forward))


_NO_ROUNDING = "no bound of the rounding of this branch's operations is known"


def contraction_bound(lin: Linearization, y: Tensor, lipschitz: float) -> ErrorBound:
    """Bound the error by Lip(F) ≤ L < 1.

    Args:
        lin: the unit at the approximate preimage.
        y: (1, *shape).
        lipschitz: L.
    """
    if (rounding := residual_rounding(lin)) is None:
        return ErrorBound(None, None, _NO_ROUNDING)
    residual = norm(lin.x + lin.branch_output - y) + rounding
    return ErrorBound(residual / (1 - lipschitz), None, "Lip(F) < 1")


def newton_bound(factorization: JacobianFactorization, y: Tensor, bounds: BranchBounds | None) -> ErrorBound:
    """Bound the error by the Jacobian at the approximate preimage.

    Args:
        factorization: of the Jacobian there.
        y: (1, *shape).
        bounds: of the branch.
    """
    lin = factorization.linearization
    if bounds is None or bounds.jacobian_lipschitz is None:
        return ErrorBound(None, None, "no bound of how fast the Jacobian changes is known for this branch")
    if (forward := forward_error(lin.parent, lin.x)) is None:
        return ErrorBound(None, None, _NO_ROUNDING)
    inverse = inverse_bound(factorization, bounds, forward)
    rounding = size(sum_error(lin, forward))
    gap = norm(lin.x + lin.branch_output - y)
    found = enclose(lin, inverse, bounds, forward, gap=gap, rounding=rounding)
    if found.radius is None:
        return ErrorBound(None, None, found.reason or "nothing is proven")
    proof = "no kink in the ball and a regular Jacobian" if found.lipschitz == 0 else "Newton and Kantorovich"
    if inverse.failure:
        proof += f", {inverse.certainty}"
    widest = found.unique_within
    return ErrorBound(found.radius, widest if math.isfinite(widest) else None, proof)


def clearance(lin: Linearization, bounds: BranchBounds) -> float:
    """Return a radius around x without a kink: min |z − kink| / Lip(z), over all units; 0 where none is known."""
    forward = forward_error(lin.parent, lin.x)
    return 0.0 if forward is None else clear_radius(lin, bounds, forward)
