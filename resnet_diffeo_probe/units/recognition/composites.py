"""Activations that code spells out in several operations: x · sigmoid(βx), x · tanh(softplus(x))."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

__all__ = ["Composite", "composite"]


@dataclass(frozen=True)
class Composite:
    """One activation in several nodes.

    Attributes:
        name: in the registry of activations.
        args: after the data.
        nodes: all that it consists of.
    """

    name: str
    args: tuple[Any, ...]
    nodes: frozenset[fx.Node]


def composite(entry: fx.Node, last: fx.Node, constant: Callable[[fx.Node], Any]) -> Composite | None:
    """Return the activation that leads from one node to another, None where these are not one that is known.

    Args:
        entry: its argument.
        last: its value.
        constant: a node -> the tensor it stands for; None where that moves with the input or is not known yet.
    """
    gate = _other(last, entry)
    if gate is None:
        return None
    if gate.target is torch.sigmoid:
        inner = gate.args[0]
        if inner is entry:
            return Composite("swish", (1.0,), frozenset({last, gate}))
        factor = _factor(inner, entry)
        if factor is not None and isinstance(inner, fx.Node):
            beta = _number(constant(factor)) if isinstance(factor, fx.Node) else factor
            return Composite("swish", (beta,), frozenset({last, gate, inner}))
    if gate.target is torch.tanh:
        inner = gate.args[0]
        # softplus with torch's own arguments
        if isinstance(inner, fx.Node) and inner.target is F.softplus and inner.args == (entry, 1.0, 20.0):
            return Composite("mish", (), frozenset({last, gate, inner}))
    return None


def _other(product: Any, one: fx.Node) -> fx.Node | None:
    """Return the factor beside a node in a product of two nodes, None if there is none."""
    factor = _factor(product, one)
    return factor if isinstance(factor, fx.Node) else None


def _factor(product: Any, one: fx.Node) -> Any:
    if not isinstance(product, fx.Node) or product.target is not torch.mul or product.kwargs:
        return None
    if len(product.args) != 2 or product.args.count(one) != 1:
        return None
    return product.args[1] if product.args[0] is one else product.args[0]


def _number(value: Any) -> Any:
    """Return a tensor of one number as that number; any other is nothing known."""
    is_one = isinstance(value, Tensor) and value.is_floating_point() and value.numel() == 1
    return float(value) if is_one else None
