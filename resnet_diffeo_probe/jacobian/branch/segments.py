"""A residual branch as linear segments with non-linear stages between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, reduce

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape, pixel_count
from resnet_diffeo_probe.jacobian.branch.stages import Stage, StageDerivative

__all__ = ["BranchChain", "Segment"]


@dataclass(frozen=True)
class Segment:
    """Linear operations after another, without their constants; possibly none (the identity).

    Attributes:
        operators: in the order of application.
        in_shape: (C, *spatial) it takes.
        out_shape: (C, *spatial) it gives.
        example: a tensor of the branch's dtype and device.
    """

    operators: tuple[LinearOperator, ...]
    in_shape: Shape
    out_shape: Shape
    example: Tensor

    def apply(self, v: Tensor) -> Tensor:
        """Return S v for v of shape (B, *in_shape)."""
        for operator in self.operators:
            v = operator.apply(v)
        return v

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return Sᵀ u for u of shape (B, *out_shape)."""
        for operator in reversed(self.operators):
            u = operator.apply_transpose(u)
        return u

    @cached_property
    def matrix(self) -> SharedBlockMatrix:
        """The segment as a block-sparse matrix; built once."""
        dtype, device = self.example.dtype, self.example.device
        matrices = [operator.matrix().to(dtype, device) for operator in self.operators]
        if not matrices:
            identity = torch.eye(self.in_shape[0], dtype=dtype, device=device)
            return SharedBlockMatrix.diagonal(identity, pixel_count(self.in_shape))
        return reduce(lambda product, later: later @ product, matrices)


@dataclass(frozen=True)
class BranchChain:
    """F = S_k ∘ σ_k ∘ … ∘ S_1 ∘ σ_1 ∘ S_0, the S affine and the σ non-linear stages.

    Attributes:
        segments: S_0 … S_k, their linear parts.
        activations: σ_1 … σ_k.
        steps: the operations of F themselves, constants included: a function, or the index of a stage.
        in_shape: (C, *spatial) of the unit's input.
    """

    segments: tuple[Segment, ...]
    activations: tuple[Stage, ...]
    steps: tuple[Callable[[Tensor], Tensor] | int, ...] = field(repr=False)
    in_shape: Shape

    @property
    def gathers(self) -> bool:
        """Whether a stage has terms of low rank."""
        return any(stage.gathers for stage in self.activations)

    def run(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[StageDerivative]]:
        """Return F(x), the inputs of σ_1 … σ_k, and their derivatives there; x is (1, *in_shape)."""
        met, derivatives = [], []
        for step in self.steps:
            if isinstance(step, int):
                met.append(x)
                derivatives.append(self.activations[step].at(x))
                x = derivatives[-1].output
            else:
                x = step(x)
        return x, met, derivatives
