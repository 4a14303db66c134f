"""A Jacobian known by its products alone: what the estimators take.

Forward products come from two reverse passes: J v is the derivative by u of (Jᵀ u)·v. torch's forward mode keeps one
level for the whole process and is not for threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization

__all__ = ["LinearMap", "branch_map", "function_map", "linearized_map"]

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LinearMap:
    """A real matrix by its products with batches of vectors.

    Attributes:
        rows: length of J v.
        columns: length of v.
        apply: (B, columns) -> (B, rows), float64 outside whatever the products compute in.
        apply_transpose: (B, rows) -> (B, columns).
        eps: relative rounding error of the arithmetic of the products.
        device: where vectors live.
    """

    rows: int
    columns: int
    apply: Product
    apply_transpose: Product
    eps: float
    device: torch.device

    @property
    def dtype(self) -> str:
        """Name of the arithmetic, for findings."""
        return "float64" if self.eps < 1e-10 else "float32"

    @property
    def transposed(self) -> LinearMap:
        """Jᵀ."""
        return LinearMap(self.columns, self.rows, self.apply_transpose, self.apply, self.eps, self.device)

    @property
    def tall(self) -> LinearMap:
        """J or Jᵀ, whichever has at least as many rows as columns."""
        return self if self.rows >= self.columns else self.transposed

    def power(self, exponent: int) -> LinearMap:
        """Return J^exponent of a square J."""

        def repeated(product: Product) -> Product:
            def apply(v: Tensor) -> Tensor:
                for _ in range(exponent):
                    v = product(v)
                return v

            return apply

        return LinearMap(
            self.rows,
            self.columns,
            repeated(self.apply),
            repeated(self.apply_transpose),
            self.eps * exponent,
            self.device,
        )


def linearized_map(lin: Linearization) -> LinearMap:
    """Return J of a unit's sum map at an input."""

    def flat(product: Product) -> Product:
        def apply(v: Tensor) -> Tensor:
            shaped = v.reshape(v.shape[0], *lin.x.shape[1:]).to(lin.x)
            return product(shaped).reshape(v.shape[0], -1).double()

        return apply

    n = lin.dimension
    return LinearMap(
        n,
        n,
        flat(lin.apply),
        flat(lin.apply_transpose),
        torch.finfo(lin.x.dtype).eps,
        lin.x.device,
    )


def branch_map(lin: Linearization) -> LinearMap:
    """Return J_F of a unit's branch at an input."""
    J = linearized_map(lin)
    return LinearMap(
        J.rows,
        J.columns,
        lambda v: J.apply(v) - v,
        lambda u: J.apply_transpose(u) - u,
        J.eps,
        J.device,
    )


def function_map(function: Callable[[Tensor], Tensor], x: Tensor, *, batch: int = 16) -> LinearMap:
    """Return the Jacobian of any differentiable function of one input, by automatic differentiation.

    The graph of (x, u) -> Jᵀ u is recorded once, for `batch` copies of x; every product afterwards is one pass of it.

    Args:
        function: (B, *in_shape) -> (B, *out_shape), each sample alone.
        x: (1, *in_shape).
        batch: vectors that go through at once; 1 where the function takes no batches.
    """
    with torch.enable_grad():
        entry = x.detach().expand(batch, *x.shape[1:]).clone().requires_grad_()
        output = function(entry)
        cotangent = torch.zeros_like(output, requires_grad=True)
        (pulled,) = torch.autograd.grad(
            output, entry, cotangent, create_graph=True, allow_unused=True, materialize_grads=True
        )

    def transpose(u: Tensor) -> Tensor:
        (row,) = torch.autograd.grad(
            output, entry, u, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return row

    def forward(v: Tensor) -> Tensor:
        if not pulled.requires_grad:  # a constant function
            return torch.zeros_like(output)
        (column,) = torch.autograd.grad(
            pulled, cotangent, v, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return column

    def batched(product: Product, shape: torch.Size) -> Product:
        def apply(vectors: Tensor) -> Tensor:
            parts = []
            for part in vectors.split(batch):
                full = part.new_zeros(batch, part.shape[1])
                full[: part.shape[0]] = part
                image = product(full.reshape(shape).to(x)).detach()
                parts.append(image.reshape(batch, -1)[: part.shape[0]].double())
            return torch.cat(parts)

        return apply

    return LinearMap(
        output[0].numel(),
        entry[0].numel(),
        batched(forward, entry.shape),
        batched(transpose, output.shape),
        torch.finfo(x.dtype).eps,
        x.device,
    )
