"""Two points with one image under a unit with a ReLU after its addition, from one clipped coordinate and one solve.

Where g_i(x) < 0 the ReLU gives 0 whatever g_i is: every point with g(x') = g(x) − s e_i, s > 0, has the output of x.
J⁻¹ e_i is the direction to it (section 3.3 of 'Residual Networks as Flows of Diffeomorphisms', made constructive).
"""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.jacobian import JacobianFactorization, UnitJacobian

__all__ = ["pair_by_clipping"]

# How far the image is moved, relative to its norm: tried from the largest on, each kept only if Newton gets there.
_LENGTHS = tuple(4.0**-k for k in range(1, 14))
# How many single coordinates are tried where the first choices leave the orthant.
_SINGLE = 3


def pair_by_clipping(
    jacobian: UnitJacobian,
    x: Tensor,
    *,
    factorization: JacobianFactorization | None = None,
    orthant: bool = False,
    lengths: tuple[float, ...] = _LENGTHS,
) -> tuple[Tensor, Tensor] | None:
    """Return x' with max(g(x'), 0) = max(g(x), 0) as far from x as Newton's method gets, with x itself.

    Args:
        jacobian: of the unit.
        x: (1, *shape) a point with a coordinate g_i(x) < 0.
        factorization: of the Jacobian at x, if there is one.
        orthant: both points are to be non-negative; x must be.
        lengths: how far to move the image, relative to ‖g(x)‖, descending.

    Returns:
        (x, x'), or None where nothing is clipped, J is singular, or no length is reached.
    """
    y = sum_map(jacobian, x)
    clipped = y < 0
    if not bool(clipped.any()):
        return None
    fac = factorization or jacobian.at(x).factorize(keep=True)
    if fac.sign == 0:
        return None
    for pull in _pulls(fac, y, clipped, x):
        direction = fac.solve(pull)
        for length in lengths:
            target = y + length * norm(y) * pull
            if not bool((target[clipped] < 0).all()):
                continue
            guess = x + length * norm(y) * direction
            if orthant and bool((guess < 0).any()):
                continue
            size = norm(guess - x)
            solved = newton(
                jacobian,
                target,
                guess,
                tolerance=1e-11 * size,
                factorization=fac,
                max_factorizations=3,
                damped=False,
            )
            if solved.converged and not (orthant and bool((solved.x < 0).any())):
                return x, solved.x
    return None


def _pulls(fac: JacobianFactorization, y: Tensor, clipped: Tensor, x: Tensor) -> list[Tensor]:
    """Return directions of the image, unit vectors over the clipped coordinates, that leave them clipped.

    The first is chosen to move x far: the clipped part of J⁻ᵀ J⁻¹ of the second, downwards only. The last ones are
    single coordinates with much room to zero in x.
    """
    deepest = torch.zeros_like(y)
    deepest.view(-1)[int(y.reshape(-1).argmin())] = -1.0
    gain = fac.solve_transpose(fac.solve(deepest))
    downwards = torch.where(clipped, gain, 0.0).clamp(max=0.0)
    size = norm(downwards)
    pulls = [downwards / size, deepest] if size > 0 else [deepest]
    room = torch.where(clipped, x, -torch.inf).reshape(-1)
    for index in torch.topk(room, min(_SINGLE, int(clipped.sum()))).indices.tolist():
        single = torch.zeros_like(y)
        single.view(-1)[index] = -1.0
        pulls.append(single)
    return pulls
