"""Pointwise activations: derivatives from automatic differentiation, and where they have kinks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Activation", "activation"]

# Points where the derivative jumps. A function that is absent here is smooth.
_KINKS: dict[str, tuple[float, ...]] = {
    "relu": (0.0,),
    "leaky_relu": (0.0,),
    "prelu": (0.0,),
    "relu6": (0.0, 6.0),
    "hardtanh": (-1.0, 1.0),
    "hardswish": (-3.0, 3.0),
    "hardsigmoid": (-3.0, 3.0),
    "elu": (0.0,),  # only where alpha is not 1, which is not worth an exception
    "celu": (0.0,),
    "selu": (0.0,),
    "abs": (0.0,),
}
_PIECEWISE_LINEAR = frozenset({"relu", "leaky_relu", "prelu", "relu6", "hardtanh", "abs"})
_SMOOTH = frozenset(
    {
        "gelu",
        "silu",
        "mish",
        "tanh",
        "sigmoid",
        "softplus",
        "logsigmoid",
        "softsign",
        "erf",
        "sin",
        "cos",
        "exp",
    }
)


@dataclass(frozen=True)
class Activation:
    """A function applied to every coordinate alone.

    Attributes:
        name: of the torch function.
        function: (B, C, *spatial) -> the same shape.
        kinks: where its derivative jumps.
        piecewise_linear: whether it is linear between its kinks.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    kinks: tuple[float, ...]
    piecewise_linear: bool

    def derivative(self, z: Tensor) -> Tensor:
        """Return the derivative at every coordinate of `z`, in its shape and dtype."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            # every output depends on its own coordinate alone: the gradient of the sum is the diagonal
            (gradient,) = torch.autograd.grad(self.function(z).sum(), z)
        return gradient

    def on_kink(self, z: Tensor) -> Tensor:
        """Return where `z` is, within rounding of how it was computed, on a kink (boolean, in its shape)."""
        found = torch.zeros_like(z, dtype=torch.bool)
        if not z.numel():
            return found
        # a pre-activation is a sum of terms about as large as the largest pre-activation
        tolerance = 64 * torch.finfo(z.dtype).eps * float(z.abs().max())
        for kink in self.kinks:
            found |= (z - kink).abs() <= tolerance
        return found


def activation(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Activation | None:
    """Return the activation that a torch function with these further arguments is, None if it is not one.

    Args:
        target: the torch function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
    """
    name = getattr(target, "__name__", str(target)).rstrip("_")
    kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
    kinks = _KINKS.get(name)
    if name == "clamp":  # relu6 is often spelled so
        low = args[0] if args else kwargs.get("min")
        high = args[1] if len(args) > 1 else kwargs.get("max")
        if any(isinstance(bound, Tensor) for bound in (low, high)):
            return None
        kinks = tuple(float(bound) for bound in (low, high) if bound is not None and math.isfinite(bound))
    elif name == "hardtanh":
        low = args[0] if args else kwargs.get("min_val", -1.0)
        high = args[1] if len(args) > 1 else kwargs.get("max_val", 1.0)
        kinks = (float(low), float(high))
    elif kinks is None and name not in _SMOOTH:
        return None
    return Activation(
        name,
        lambda z: target(z, *args, **kwargs),
        kinks or (),
        name in _PIECEWISE_LINEAR or name == "clamp",
    )
