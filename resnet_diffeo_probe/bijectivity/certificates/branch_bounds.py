"""Lipschitz constants of the parts of a branch, once for all inputs."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_diffeo_probe.bijectivity.branch import kinked_steps
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import segment_bound
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import curvature_bound, slope_bound
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.branch.activations import Pointwise

__all__ = ["BranchBounds", "branch_bounds"]


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
    steps: tuple[Pointwise, ...]

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
    slopes = [slope_bound(act) for act in steps]
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
