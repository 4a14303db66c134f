"""The twin of an input: another point with the same image, found where the inverse ends elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity.branch import sum_map
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.inverse.inverse_consistency import nearby
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.bijectivity.witnesses.witness import (
    SEPARATION,
    UnitMaps,
    Witness,
    check,
    established,
)
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = ["twin_witness"]

# How far from the input Newton's method starts, relative to its norm: far enough to cross a fold.
_STARTS = (0.01, 0.02, 0.05)


def twin_witness(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    inputs: Tensor,
    names: Sequence[str],
    *,
    module: nn.Module | None = None,
    starts: Sequence[float] = _STARTS,
    max_factorizations: int = 24,
    bounds: BranchBounds | None = None,
    seed: int = 0,
) -> Witness | None:
    """Return an input x₁ and another point x₂ with g(x₂) = g(x₁), if Newton's method ends at one.

    Args:
        unit: float64.
        jacobian: of that unit.
        inputs: (N, *shape) float64, tried in order.
        names: of the inputs.
        module: the user's network in float64 and evaluation mode, for the second check.
        starts: distances from the input at which to start, relative to its norm.
        max_factorizations: budget for all of them.
        bounds: of the branch, made where they are needed.
        seed: of the random directions.

    Returns:
        The first proof found, a numerical pair where the branch has no bounds; None if the budget ends before.
    """
    for start in starts:
        for index, name in enumerate(names):
            x = inputs[index : index + 1]
            solved = newton(
                jacobian,
                sum_map(jacobian, x),
                nearby(x, start, seed),
                max_factorizations=min(8, max_factorizations),
            )
            max_factorizations -= solved.factorizations
            if solved.converged:
                found = check(unit, "sum", x, solved.x, "twin of an input", module=module)
                if found.agrees and found.relative_distance > 100 * SEPARATION:
                    found = established(found, unit, jacobian, bounds)
                # without bounds no pair of this unit can be proven: the first serves as a numerical pair
                if found.is_proof or (
                    found.agrees and bounds is None and found.relative_distance > 100 * SEPARATION
                ):
                    return found.with_about(
                        inputs=[name], nearest_input=name, input_distance=0.0, first_distance=found.distance
                    )
            if max_factorizations <= 0:
                return None
    return None
