"""Pointwise activations as torch functions: derivatives from automatic differentiation, coordinates on a kink."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.activations import Activation, bound, family
from resnet_diffeo_probe.units.applied import record_of
from resnet_diffeo_probe.units.recognition.composites import composite

__all__ = ["Pointwise", "activation", "is_pointwise", "spelled_out"]


@dataclass(frozen=True)
class Pointwise:
    """A function applied to every coordinate alone.

    Attributes:
        record: what is known of it; its kinks are.
        function: (B, C, *spatial) -> the same shape.
    """

    record: Activation
    function: Callable[[Tensor], Tensor]

    @property
    def name(self) -> str:
        """Of the torch function."""
        return self.record.name

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where its derivative jumps, or it does."""
        return self.record.kinks or ()

    @property
    def piecewise_linear(self) -> bool:
        """Whether it is continuous and linear between its kinks."""
        return bool(self.record.piecewise_linear)

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


def is_pointwise(target: Callable[..., Any]) -> bool:
    """Return whether a torch function is an activation, whatever its arguments."""
    return family(_name(target)) is not None


def activation(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pointwise | None:
    """Return the activation that a torch function with these further arguments is, None if none that is known.

    Args:
        target: the torch function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
    """
    record = record_of(_name(target), args, kwargs)
    if not record.known:
        return None
    kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
    return Pointwise(record, lambda z: target(z, *args, **kwargs))


def spelled_out(
    entry: fx.Node, region: Sequence[fx.Node], constants: Mapping[fx.Node, Any]
) -> Pointwise | None:
    """Return the activation that several operations are together, None if they are none that is known.

    Args:
        entry: the node of its argument.
        region: the nodes from there to its value, in order.
        constants: values of parameter nodes.
    """
    found = composite(entry, region[-1], constants.get)
    if found is None or found.nodes != frozenset(region):
        return None
    record = bound(found.name, found.args)
    if not record.known:
        return None

    def function(z: Tensor) -> Tensor:
        values = {**constants, entry: z}
        for node in region:
            target: Callable[..., Any] = node.target  # type: ignore[assignment]
            values[node] = target(*fx.node.map_arg(node.args, values.__getitem__))
        return values[region[-1]]

    return Pointwise(record, function)


def _name(target: Callable[..., Any]) -> str:
    return str(getattr(target, "__name__", target))
