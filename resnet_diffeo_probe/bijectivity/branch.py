"""What proofs need to know of a branch: its value, and whether it is linear between the kinks of pointwise steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.linearized.linearize import PreparedUnit

__all__ = ["Kinked", "is_piecewise_linear", "kinked_steps", "norm", "sum_map"]


@dataclass(frozen=True)
class Kinked:
    """One pointwise step of a branch.

    Attributes:
        name: of the torch function.
        kinks: where its derivative jumps.
        piecewise_linear: whether it is linear between them.
        function: the step itself.
    """

    name: str
    kinks: tuple[float, ...]
    piecewise_linear: bool
    function: Any


def kinked_steps(jacobian: PreparedUnit) -> tuple[Kinked, ...] | None:
    """Return the non-linear steps of a branch, in order; None if one of them is not pointwise (a norm, a gate)."""
    steps = []
    for stage in jacobian.chain.activations:
        act: Any = getattr(stage, "activation", stage)
        if not hasattr(act, "kinks"):
            return None
        steps.append(Kinked(act.name, act.kinks, act.piecewise_linear, act.function))
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
