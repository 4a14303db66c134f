"""What proofs need to know of a branch: its value, and whether it is linear between the kinks of pointwise steps."""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.branch.activations import Pointwise
from resnet_diffeo_probe.jacobian.branch.stages import PointwiseStage
from resnet_diffeo_probe.jacobian.linearized.linearize import PreparedUnit

__all__ = ["is_piecewise_linear", "kinked_steps", "norm", "sum_map"]


def kinked_steps(jacobian: PreparedUnit) -> tuple[Pointwise, ...] | None:
    """Return the non-linear steps of a branch, in order; None if one of them is not pointwise (a norm, a gate)."""
    steps = []
    for stage in jacobian.chain.activations:
        if not isinstance(stage, PointwiseStage):
            return None
        steps.append(stage.activation)
    return tuple(steps)


def is_piecewise_linear(jacobian: UnitJacobian) -> bool:
    """Return whether a branch is linear between the kinks of its activations."""
    steps = kinked_steps(jacobian)
    return steps is not None and all(step.piecewise_linear for step in steps)


def sum_map(jacobian: UnitJacobian, x: Tensor) -> Tensor:
    """Return g(x) = x + F(x), (B, *shape) -> (B, *shape)."""
    with torch.no_grad():
        return x + jacobian.branch(x)


def norm(v: Tensor) -> float:
    """Return the Euclidean norm of all coordinates."""
    return float(torch.linalg.vector_norm(v))
