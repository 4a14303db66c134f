"""How far each hidden unit's pre-activation can move while the input stays in a ball: bounds for every unit at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.absolute import absolute_product
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.certificates.rounding import ForwardError
from resnet_diffeo_probe.jacobian import Linearization
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.linearized.linearize import PreparedUnit

__all__ = ["kink_radii", "reaches", "row_norms"]

# More than the rounding of a norm of a row.
_UP = 1 + 1e-9


def row_norms(matrix: SharedBlockMatrix) -> Tensor:
    """Return (P_out, C_out), the Euclidean norm of every row."""
    squares = matrix.blocks.square().sum(dim=2)
    total = squares.new_zeros(matrix.pixels_out, matrix.channels_out)
    total.index_add_(0, torch.from_numpy(matrix.rows), squares[torch.from_numpy(matrix.ids)])
    return total.sqrt()


def reaches(jacobian: PreparedUnit, bounds: BranchBounds, p: float) -> tuple[Tensor, ...]:
    """Return, for each activation, ρ with |z_k(x') − z_k(x)| ≤ ρ_k ‖x' − x‖_p.

    The first layer's are the dual norms of its rows, exact. Later layers' use Lipschitz constants in between (p = 2) or
    absolute values of all weights (p = ∞): upper bounds, and wide ones.

    Args:
        jacobian: of the unit.
        bounds: of its branch.
        p: 2 or infinity.

    Returns:
        Tensors (1, C, *spatial).
    """
    found = []
    segments = jacobian.chain.segments
    moved: Tensor | None = None
    for j in range(len(bounds.steps)):
        matrix = segments[j].matrix
        if math.isinf(p):
            if moved is None:
                moved = matrix.blocks.new_ones(matrix.pixels_in, matrix.channels_in)
            reach = absolute_product(matrix, moved)
            moved = bounds.slopes[j] * reach
        else:
            through = 1.0 if j == 0 else bounds.before[j - 1] * bounds.slopes[j - 1]
            reach = row_norms(matrix) * through
        found.append(reach.mT.reshape(1, *segments[j].out_shape))
    return tuple(found)


def kink_radii(
    lin: Linearization, bounds: BranchBounds, reach: tuple[Tensor, ...], forward: ForwardError
) -> tuple[Tensor, ...]:
    """Return, for each hidden unit, the radius below which it cannot get to a kink; infinite for units that never do.

    Args:
        lin: the unit at the centre of the ball.
        bounds: of the branch.
        reach: as `reaches` gives it.
        forward: how far the pre-activations may be from what was computed.
    """
    found = []
    for act, z, rho, error in zip(bounds.steps, lin.pre_activations, reach, forward.met, strict=True):
        nearest = torch.full_like(z, math.inf)
        for kink in act.kinks:
            gap = ((z - kink).abs() * (1 - 1e-15) - error.reshape(z.shape)).clamp_min(0)
            nearest = torch.minimum(nearest, gap)
        found.append(torch.where(rho > 0, nearest / (rho * _UP), torch.inf))
    return tuple(found)
