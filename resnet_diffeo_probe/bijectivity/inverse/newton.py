"""Newton's method for g(x) = y, g the sum map of a unit, with the exact engine's solves.

A branch with kinks has one of several one-sided Jacobians on a kink: the method is then the semismooth Newton method
(Qi & Sun, A nonsmooth version of Newton's method, Math. Programming 58, 1993), which for a piecewise linear g ends in
finitely many steps once the cell of the solution is reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.jacobian import JacobianFactorization, UnitJacobian

__all__ = ["IterationEnd", "NewtonResult", "newton"]

# An old factorisation serves as long as it shrinks the residual at least this much a step.
_CHORD_RATE = 0.2
# The shortest damped step that is tried.
_SHORTEST = 2.0**-12
# Sufficient decrease, Armijo's constant for the norm of the residual.
_DECREASE = 1e-4


class IterationEnd(StrEnum):
    """How an iteration for g(x) = y ended; the text is for people."""

    CONVERGED = "converged"
    STALLED = "no damped step reduces the residual: a fold or a local minimum of the residual is in the way"
    SINGULAR = "the Jacobian became singular on the way"
    EXHAUSTED = "the steps allowed were used up"


@dataclass(frozen=True, eq=False)
class NewtonResult:
    """What Newton's method found.

    Attributes:
        x: (1, *shape) the last iterate.
        residual: ‖g(x) − y‖ there.
        outcome: how it ended.
        steps: accepted steps.
        factorizations: how many Jacobians were factorised.
        factorization: the last one, at an iterate near x.
    """

    x: Tensor
    residual: float
    outcome: IterationEnd
    steps: int
    factorizations: int
    factorization: JacobianFactorization | None

    @property
    def converged(self) -> bool:
        """Whether the residual reached the tolerance, or rounding."""
        return self.outcome is IterationEnd.CONVERGED


def newton(
    jacobian: UnitJacobian,
    y: Tensor,
    x0: Tensor,
    *,
    tolerance: float = 0.0,
    factorization: JacobianFactorization | None = None,
    max_factorizations: int = 30,
    max_steps: int = 200,
    damped: bool = True,
) -> NewtonResult:
    """Solve g(x) = y by damped Newton steps; a factorisation is used again while it serves.

    Args:
        jacobian: the unit.
        y: (1, *shape) the value to reach.
        x0: (1, *shape) where to start.
        tolerance: on ‖g(x) − y‖; below rounding error it means "as far as rounding allows".
        factorization: of the Jacobian at a point near x0, to begin with.
        max_factorizations: limit.
        max_steps: limit.
        damped: whether steps may be shortened; else a full step that fails ends the iteration.

    Returns:
        The last iterate, with the outcome. The iteration ends converged at the tolerance, or where rounding stops
        the residual from falling.
    """
    x, fac = x0, factorization
    fresh, made, steps = False, 0, 0
    vector = sum_map(jacobian, x) - y
    residual = norm(vector)
    while True:
        outcome = None
        if residual <= tolerance:
            outcome = IterationEnd.CONVERGED
        elif (
            steps >= max_steps or not math.isfinite(residual) or (fac is None and made >= max_factorizations)
        ):
            outcome = IterationEnd.EXHAUSTED
        elif fac is None:
            fac, fresh, made = jacobian.at(x).factorize(keep=True), True, made + 1
            if fac.sign == 0:
                fac, outcome = None, IterationEnd.SINGULAR
        if outcome is not None or fac is None:
            return NewtonResult(x, residual, outcome or IterationEnd.SINGULAR, steps, made, fac)
        step = _line_search(jacobian, y, x, vector, fac, shortest=_SHORTEST if fresh and damped else 1.0)
        if step.residual <= max(
            (1 - _DECREASE * step.length if fresh else _CHORD_RATE) * residual, tolerance
        ):
            x, vector, residual, steps = step.x, step.vector, step.residual, steps + 1
            fac, fresh = (fac if step.length == 1 else None), False
        elif residual <= rounding_floor(x, y):
            return NewtonResult(x, residual, IterationEnd.CONVERGED, steps, made, fac)
        elif fresh:
            return NewtonResult(x, residual, IterationEnd.STALLED, steps, made, fac)
        else:
            fac = None


@dataclass(frozen=True, eq=False)
class _Step:
    x: Tensor
    vector: Tensor
    residual: float
    length: float


def _line_search(
    jacobian: UnitJacobian,
    y: Tensor,
    x: Tensor,
    vector: Tensor,
    fac: JacobianFactorization,
    *,
    shortest: float,
) -> _Step:
    """Shorten the Newton step until the residual falls enough, or the step is the shortest allowed."""
    direction, residual, length = fac.solve(vector), norm(vector), 1.0
    while True:
        candidate = x - length * direction
        behind = sum_map(jacobian, candidate) - y
        size = norm(behind)
        if size <= (1 - _DECREASE * length) * residual or length <= shortest:
            return _Step(candidate, behind, size, length)
        length /= 2


def rounding_floor(x: Tensor, y: Tensor) -> float:
    """Return below which ‖g(x) − y‖ is taken for rounding: a few units of the last place of every coordinate."""
    eps = torch.finfo(x.dtype).eps
    return 64 * eps * max(norm(x), norm(y))
