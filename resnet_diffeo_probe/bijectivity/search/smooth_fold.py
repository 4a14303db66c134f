"""Two points with one image at a fold of a smooth map: from det J = 0 along the null vector, by Newton's method.

Between opposite signs det J passes zero. At such a point x₀ with null vector φ, g(x₀ + sφ) − g(x₀ − sφ) = O(s³), since
J φ = 0 and even terms cancel, while J(x₀ − sφ)⁻¹ grows like 1/s only: Newton's method started at x₀ − sφ moves by
O(s²) and ends at a second preimage of g(x₀ + sφ) (Golubitsky & Guillemin, Stable Mappings and Their Singularities,
chapter VI, on folds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.bijectivity.search.fold import sign_changes
from resnet_diffeo_probe.jacobian import JacobianFactorization, UnitJacobian

__all__ = ["SmoothFold", "find_smooth_fold", "pair_at_smooth_fold"]

# The root of det along the segment is found to this share of the segment: closer, the Jacobian says nothing new.
_WIDTH = 1e-9
_MAX_EVALUATIONS = 80
# Steps of inverse iteration: each multiplies the null vector's share by 1 / (distance to the root).
_INVERSE_ITERATIONS = 4
# First distances from the fold that are tried, relative to ‖x₀‖, from the largest on.
_LENGTHS = tuple(4.0**-k for k in range(2, 9))


@dataclass(frozen=True, eq=False)
class SmoothFold:
    """A point of a segment where det J = 0.

    Attributes:
        point: (1, *shape), as near to the zero of det J as bisection went.
        null_vector: (1, *shape) φ with ‖φ‖ = 1, J φ ≈ 0.
        stretch: ‖J φ‖ there.
        position: where on the segment the point lies.
        evaluations: determinants computed.
    """

    point: Tensor
    null_vector: Tensor
    stretch: float
    position: float
    evaluations: int


def find_smooth_fold(
    jacobian: UnitJacobian, a: Tensor, b: Tensor, signs: tuple[int, int]
) -> SmoothFold | None:
    """Find a zero of det J on the segment between two inputs of opposite sign.

    Args:
        jacobian: of a unit whose derivative is continuous.
        a: (1, *shape).
        b: (1, *shape).
        signs: of det J at a and b, opposite and not zero.

    Returns:
        The fold whose sign change is nearest to an end among those the scan sees, None if the scan sees none.

    Raises:
        ValueError: the signs are not opposite.
    """
    if signs[0] * signs[1] != -1:
        raise ValueError(f"the signs {signs} are not opposite")
    evaluations = 0

    def evaluate(t: float) -> JacobianFactorization:
        nonlocal evaluations
        evaluations += 1
        return jacobian.at(torch.lerp(a, b, t)).factorize(keep=True)

    known = {0.0: signs[0], 1.0: signs[1]}
    for bracket in sign_changes(lambda t: known.get(t) or evaluate(t).sign):
        lo, hi = bracket
        low, high = evaluate(lo), evaluate(hi)
        while hi - lo > _WIDTH and evaluations < _MAX_EVALUATIONS:
            t = _between(lo, hi, low, high, evaluations)
            middle = evaluate(t)
            if middle.sign == 0:
                break
            if middle.sign == low.sign:
                lo, low = t, middle
            else:
                hi, high = t, middle
        nearer, position = (low, lo) if low.logabsdet <= high.logabsdet else (high, hi)
        vector = _null_vector(nearer)
        lin = nearer.linearization
        return SmoothFold(lin.x, vector, norm(lin.apply(vector)), position, evaluations)
    return None


def _between(
    lo: float, hi: float, low: JacobianFactorization, high: JacobianFactorization, turn: int
) -> float:
    """Return where the chord of det J crosses zero, every other time the midpoint."""
    if turn % 2:
        return (lo + hi) / 2
    # det(lo) / (det(lo) − det(hi)) with the larger one divided out
    share = 1 / (1 + math.exp(min(max(high.logabsdet - low.logabsdet, -600.0), 600.0)))
    return lo + min(max(share, 0.01), 0.99) * (hi - lo)


def _null_vector(factorization: JacobianFactorization) -> Tensor:
    """Return the right singular vector of the smallest singular value by inverse iteration on JᵀJ."""
    lin = factorization.linearization
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(lin.x.shape, generator=generator, dtype=torch.float64).to(lin.x)
    for _ in range(_INVERSE_ITERATIONS):
        v = factorization.solve(factorization.solve_transpose(v / norm(v)))
    return v / norm(v)


def pair_at_smooth_fold(
    jacobian: UnitJacobian, fold: SmoothFold, *, lengths: tuple[float, ...] = _LENGTHS
) -> tuple[Tensor, Tensor] | None:
    """Return x₁ = x₀ + sφ and x₂ on the other side of the fold with the same image.

    Args:
        jacobian: of the unit.
        fold: as `find_smooth_fold` gives it.
        lengths: the s to try, relative to ‖x₀‖, descending.

    Returns:
        The first pair that Newton's method reaches with x₁ and x₂ held apart, None if it reaches none.
    """
    for length in lengths:
        s = length * max(norm(fold.point), 1e-300)
        for side in (s, -s):
            x1 = fold.point + side * fold.null_vector
            y = sum_map(jacobian, x1)
            solved = newton(
                jacobian, y, fold.point - side * fold.null_vector, tolerance=1e-12 * s, max_factorizations=12
            )
            # beyond the fold, not back at x₁
            apart = float(((solved.x - fold.point) * fold.null_vector).sum()) * side < 0
            if solved.converged and apart and norm(solved.x - x1) > s:
                return x1, solved.x
    return None
