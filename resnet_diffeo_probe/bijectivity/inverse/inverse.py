"""The inverse of a unit's sum map: fixed point where it contracts, Newton's method beyond, and how wrong it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import (
    BranchBounds,
    ErrorBound,
    branch_bounds,
    contraction_bound,
    newton_bound,
)
from resnet_diffeo_probe.bijectivity.inverse.newton import IterationEnd, newton
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = ["FixedPoint", "Inverse", "InverseMethod", "fixed_point", "invert"]

# The residual of a fixed-point iteration must fall by this factor a step, on average over a few, to go on.
_USEFUL_RATE = 0.9
_WINDOW = 5


class InverseMethod(StrEnum):
    """What found the preimage."""

    FIXED_POINT = "fixed point"
    NEWTON = "Newton"


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """The iteration x ← y − F(x).

    Attributes:
        x: (1, *shape) the best iterate.
        residual: ‖g(x) − y‖ there.
        iterations: done.
        contracted: whether the residual fell to rounding, or to the tolerance.
        rate: average factor of the residual a step, over the last steps.
    """

    x: Tensor
    residual: float
    iterations: int
    contracted: bool
    rate: float


@dataclass(frozen=True, eq=False)
class Inverse:
    """An approximate preimage with its error.

    Attributes:
        x: (1, *shape).
        residual: ‖g(x) − y‖.
        error: bound of the distance to a true preimage; its `value` is None where none was had.
        outcome: how the iteration ended.
        method: what found it.
        steps: of the last method.
        factorizations: Jacobians factorised.
    """

    x: Tensor
    residual: float
    error: ErrorBound
    outcome: IterationEnd
    method: InverseMethod
    steps: int
    factorizations: int

    @property
    def converged(self) -> bool:
        """Whether the iteration ended as it should."""
        return self.outcome is IterationEnd.CONVERGED

    @property
    def reason(self) -> str:
        """How it ended, for people."""
        return self.outcome.value

    @property
    def relative_error(self) -> float | None:
        """The error bound relative to ‖x‖."""
        size = norm(self.x)
        return None if self.error.value is None or size == 0 else self.error.value / size


def fixed_point(
    jacobian: UnitJacobian,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    tolerance: float = 0.0,
    max_iterations: int = 200,
) -> FixedPoint:
    """Iterate x ← y − F(x), which converges where F contracts (Behrmann et al., 2019, algorithm 1).

    It stops where the residual is at the tolerance, no longer falls (rounding), or does not fall fast enough.

    Args:
        jacobian: of the unit.
        y: (1, *shape).
        x0: start; y if None.
        tolerance: on ‖g(x) − y‖.
        max_iterations: limit.
    """
    x = y if x0 is None else x0
    defect = sum_map(jacobian, x) - y
    history = [norm(defect)]
    best = (x, history[0])
    floor = 64 * 2.3e-16 * norm(y)
    while len(history) <= max_iterations and best[1] > tolerance:
        x = x - defect
        defect = sum_map(jacobian, x) - y
        history.append(norm(defect))
        if not math.isfinite(history[-1]):
            break
        if history[-1] < best[1]:
            best = (x, history[-1])
        elif best[1] <= floor:
            break
        if len(history) > _WINDOW and history[-1] > _USEFUL_RATE**_WINDOW * history[-1 - _WINDOW]:
            break
    window = min(_WINDOW, len(history) - 1)
    last, earlier = history[-1], history[-1 - window]
    rate = (last / earlier) ** (1 / window) if window and earlier > 0 and math.isfinite(last) else math.inf
    return FixedPoint(best[0], best[1], len(history) - 1, best[1] <= max(tolerance, floor), rate)


def invert(
    jacobian: UnitJacobian,
    y: Tensor,
    x0: Tensor | None = None,
    *,
    certificate: GlobalCertificate | None = None,
    bounds: BranchBounds | None = None,
    max_factorizations: int = 30,
    try_fixed_point: bool = True,
) -> Inverse:
    """Find x with g(x) = y, and bound its distance to a true preimage.

    Args:
        jacobian: of the unit.
        y: (1, *shape).
        x0: where to start; the backward Euler step y − F(y) of the paper (eq. 9) for Newton, y for the fixed point.
        certificate: of the unit; where it holds the error bound is global.
        bounds: of the branch, made here if None.
        max_factorizations: limit for Newton's method.
        try_fixed_point: whether to begin with the fixed point.

    Returns:
        The last iterate; where it did not converge the error's `value` is None.
    """
    best = y if x0 is None else x0
    steps, settled = 0, False
    contracts = certificate is not None and certificate.holds
    if try_fixed_point or contracts:
        iteration = fixed_point(jacobian, y, x0)
        if iteration.contracted and contracts:
            return _certified(jacobian, y, iteration, certificate)
        best, steps, settled = iteration.x, iteration.iterations, iteration.contracted
        if not settled and x0 is None:
            euler = y - (sum_map(jacobian, y) - y)
            candidates = {norm(sum_map(jacobian, start) - y): start for start in (best, euler)}
            best = candidates[min(candidates)]
    elif x0 is None:
        best = y - (sum_map(jacobian, y) - y)
    solved = newton(jacobian, y, best, max_factorizations=max_factorizations)
    method = InverseMethod.FIXED_POINT
    if not settled or solved.steps > 1:  # one step more is a correction by rounding
        method, steps = InverseMethod.NEWTON, solved.steps
    if not solved.converged:
        none = ErrorBound(None, None, "the iteration did not converge")
        return Inverse(solved.x, solved.residual, none, solved.outcome, method, steps, solved.factorizations)
    made = solved.factorizations
    if contracts and certificate is not None and certificate.upper is not None:
        error = contraction_bound(jacobian.at(solved.x), y, certificate.upper)
    else:
        final, made = jacobian.at(solved.x).factorize(keep=True), made + 1
        known = bounds or branch_bounds(jacobian)
        error = (
            newton_bound(final, y, known)
            if final.sign != 0
            else ErrorBound(None, None, "the Jacobian at the preimage is singular")
        )
    return Inverse(solved.x, solved.residual, error, solved.outcome, method, steps, made)


def _certified(
    jacobian: UnitJacobian, y: Tensor, iteration: FixedPoint, certificate: GlobalCertificate | None
) -> Inverse:
    upper = certificate.upper if certificate is not None and certificate.upper is not None else math.nan
    error = contraction_bound(jacobian.at(iteration.x), y, upper)
    return Inverse(
        iteration.x,
        iteration.residual,
        error,
        IterationEnd.CONVERGED,
        InverseMethod.FIXED_POINT,
        iteration.iterations,
        0,
    )
