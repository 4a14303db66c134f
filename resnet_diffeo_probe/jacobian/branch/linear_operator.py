"""A linear operation of a branch: a function, and the same as a block-sparse matrix over pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix

__all__ = ["LinearOperator", "Shape", "named", "pixel_count"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LinearOperator:
    """The linear part of one operation on tensors of shape (batch, C, *spatial); vectors have no spatial axes.

    Attributes:
        name: the operation, for people.
        in_shape: (C, *spatial) it takes.
        out_shape: (C, *spatial) it gives.
        apply: (B, *in_shape) -> (B, *out_shape), without the constant part (biases).
        matrix: builds the same map as a matrix, rows and columns ordered by pixel, then channel.
        known_transpose: (B, *out_shape) -> (B, *in_shape), where torch has it; else `apply` is differentiated.
    """

    name: str
    in_shape: Shape
    out_shape: Shape
    apply: Callable[[Tensor], Tensor]
    matrix: Callable[[], SharedBlockMatrix]
    known_transpose: Callable[[Tensor], Tensor] | None = None

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return the transposed map's image, (B, *out_shape) -> (B, *in_shape)."""
        if self.known_transpose is not None:
            with torch.no_grad():
                return self.known_transpose(u)
        with torch.enable_grad():
            zero = u.new_zeros(u.shape[0], *self.in_shape).requires_grad_()
            (pulled,) = torch.autograd.grad(self.apply(zero), zero, u)
        return pulled


def pixel_count(shape: Shape) -> int:
    """Return the number of pixels of (C, *spatial)."""
    return math.prod(shape[1:])


def named(names: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name the positional arguments of a builtin, which has no signature to ask."""
    return dict(zip(names, args, strict=False)) | kwargs
