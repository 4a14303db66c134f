"""A sum as a list of terms with factors: `x - 0.5 * f(x)` -> `[(x, 1), (f(x), -0.5)]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from resnet_diffeo_probe.units.recognition.dominators import DataFlow

__all__ = ["Sum", "Term", "owner_name", "terms_of"]


@dataclass(frozen=True)
class Term:
    """A node (by name) and the factor it enters a sum with: the sign of a subtraction, `alpha`."""

    node: str
    scale: float = 1.0


@dataclass(frozen=True)
class Sum:
    """The terms of a sum, and the inner additions that were taken into it."""

    terms: list[Term]
    swallowed: list[fx.Node]


def terms_of(node: fx.Node, flow: DataFlow) -> Sum:
    """Take a sum apart.

    An inner sum `(x + f) + g` is taken apart too, if nothing else reads it, it has the same shape, and its
    terms have the same common dominator as the whole: then f and g are two parts of one branch.

    Args:
        node: a `torch.add` or `torch.sub` of two tensors.
        flow: of its graph.

    Returns:
        Its terms in order.
    """
    start = flow.common(_operands(node))
    terms: list[Term] = []
    swallowed: list[fx.Node] = []

    def collect(part: fx.Node, scale: float) -> None:
        left, right = _operands(part)
        right_scale = float(part.kwargs.get("alpha", 1)) * (-1 if part.target is torch.sub else 1)  # type: ignore[arg-type]
        for operand, factor in ((left, scale), (right, scale * right_scale)):
            if _is_inner(operand, node, start, flow):
                swallowed.append(operand)
                collect(operand, factor)
            else:
                terms.append(Term(operand.name, factor))

    collect(node, 1.0)
    return Sum(terms, swallowed)


def _operands(node: fx.Node) -> list[fx.Node]:
    return [arg for arg in node.args if isinstance(arg, fx.Node)]


def _is_inner(operand: fx.Node, whole: fx.Node, start: fx.Node, flow: DataFlow) -> bool:
    if operand.target not in {torch.add, torch.sub} or len(operand.users) != 1:
        return False
    inner = _operands(operand)
    if len(inner) != 2 or not all(part.meta["data"] for part in inner):
        return False
    same_shape = (
        operand.meta["shape"] == whole.meta["shape"] == inner[0].meta["shape"] == inner[1].meta["shape"]
    )
    return same_shape and flow.common(inner) is start


def owner_name(nodes: Sequence[fx.Node]) -> str:
    """Return the innermost module around all the nodes, by what ran them or whose parameters they read."""
    owners = [node.meta["owner"] for node in nodes if node.meta["owner"]]
    if not owners:
        owners = [
            str(operand.target).rpartition(".")[0]
            for node in nodes
            for operand in node.all_input_nodes
            if operand.op == "get_attr"
        ]
    paths = [owner.split(".") for owner in owners]
    common: list[str] = []
    for steps in zip(*paths, strict=False):
        if len(set(steps)) > 1:
            break
        common.append(steps[0])
    return ".".join(common)
