"""Two points with one image, followed apart: from the tiny pair at a fold to one of visible size.

Along a fold the solutions of g(x₁) = g(x₂) form an n-dimensional sheet. x₁ moves on the straight ray that the first
pair began; x₂ is predicted by extrapolation and corrected by Newton's method (Allgower & Georg, Numerical
Continuation Methods, 1990, chapter 2, with a secant predictor).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.jacobian import JacobianFactorization, UnitJacobian

__all__ = ["Grown", "grow"]

# A corrected pair may be off the equation by this much of its size; a check of the pair asks for 1e-9.
_EQUATION = 1e-11
# Growth ends when the next step would be this small against the pair.
_SMALLEST_STEP = 1 / 16


@dataclass(frozen=True, eq=False)
class Grown:
    """How far a pair could be followed.

    Attributes:
        x1: (1, *shape).
        x2: (1, *shape), with g(x₂) = g(x₁).
        factorizations: Jacobians factorised on the way.
        ended: why it went no further, for people.
    """

    x1: Tensor
    x2: Tensor
    factorizations: int
    ended: str

    @property
    def distance(self) -> float:
        """‖x₁ − x₂‖."""
        return norm(self.x1 - self.x2)


def grow(
    jacobian: UnitJacobian,
    x1: Tensor,
    x2: Tensor,
    *,
    origin: Tensor | None = None,
    factorization: JacobianFactorization | None = None,
    inside: Callable[[Tensor], bool] | None = None,
    largest: float | None = None,
    max_factorizations: int = 12,
) -> Grown:
    """Follow g(x₁) = g(x₂) from a first pair as far as the equation, the domain and the budget allow.

    Args:
        jacobian: of the unit.
        x1: (1, *shape).
        x2: (1, *shape) with the same image.
        origin: the point of the fold between them; the midpoint if None.
        factorization: of the Jacobian near x2.
        inside: whether a point belongs to the domain; None for all of Rⁿ.
        largest: stop at this distance of the two; None for ‖x₁‖.
        max_factorizations: budget.
    """
    start = (x1 + x2) / 2 if origin is None else origin
    largest = norm(x1) if largest is None else largest
    ray = x1 - start
    at, step, used = 1.0, 1.0, 0
    previous, latest = (start, 0.0), (x2, 1.0)
    fac = factorization
    ended = f"the pair is {largest:.3g} apart, as far as was asked"
    while norm(x1 - x2) < largest:
        if step < _SMALLEST_STEP * at:
            ended = "beyond this size the equation could not be followed: another fold is near, or the domain ends"
            break
        if used >= max_factorizations:
            ended = f"{used} factorisations were used, the budget"
            break
        t = at + step
        candidate1 = start + t * ray
        slope = (latest[0] - previous[0]) / (latest[1] - previous[1])
        guess = latest[0] + slope * step
        if inside is not None and not (inside(candidate1) and inside(guess)):
            step /= 2
            continue
        size = norm(candidate1 - guess)
        solved = newton(
            jacobian,
            sum_map(jacobian, candidate1),
            guess,
            tolerance=_EQUATION * size,
            factorization=fac,
            max_factorizations=min(3, max_factorizations - used),
            damped=False,
        )
        used += solved.factorizations
        gained = norm(solved.x - candidate1)
        # a solution that fell onto the other sheet is x₁ itself
        good = solved.converged and gained > norm(x1 - x2) and (inside is None or inside(solved.x))
        if good:
            previous, latest = latest, (solved.x, t)
            x1, x2, at, step = candidate1, solved.x, t, 2 * step
            fac = solved.factorization
        else:
            step /= 2
    return Grown(x1, x2, used, ended)
