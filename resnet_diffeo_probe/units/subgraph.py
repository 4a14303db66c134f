"""Cutting a map out of a rebuilt graph: from one node to a weighted sum of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.build import assemble, erase_unused
from resnet_diffeo_probe.units.recognition.terms import Term

__all__ = ["Cutter", "attribute", "scaled_sum"]


def attribute(module: fx.GraphModule, target: str) -> Any:
    """Return the tensor or module at a dotted path."""
    return reduce(getattr, target.split("."), module)


def scaled_sum(graph: fx.Graph, parts: Sequence[tuple[fx.Node, float]]) -> fx.Node:
    """Append the sum of nodes with factors to a graph, in as few operations as it takes.

    Args:
        graph: appended to at its insertion point.
        parts: at least one (node, factor).

    Returns:
        The node of the sum; the given node itself for one part with factor 1.
    """
    total: fx.Node | None = None
    for node, scale in parts:
        part = node
        if scale != 1:
            part = (
                graph.call_function(torch.neg, (node,))
                if scale == -1
                else graph.call_function(torch.mul, (node, scale))
            )
            part.meta = dict(node.meta)
        if total is None:
            total = part
        else:
            meta = dict(total.meta)
            total = graph.call_function(torch.add, (total, part))
            total.meta = meta
    if total is None:
        raise ValueError("a sum of no parts")
    return total


class Cutter:
    """Cuts maps out of one graph; parameter-only computations are evaluated once, when they are first met.

    Args:
        module: a rebuilt network.
    """

    def __init__(self, module: fx.GraphModule):
        self._module = module
        self._nodes = {node.name: node for node in module.graph.nodes}
        self._input = next(node for node in module.graph.nodes if node.op == "placeholder")
        self._constants: dict[fx.Node, Any] = {}

    def cut(self, start: str, terms: Sequence[Term], name: str) -> fx.GraphModule:
        """Cut out the map from `start` to the sum of `terms`.

        Args:
            start: name of a node that dominates every term.
            terms: nodes with their factors.
            name: class name for the produced module.

        Returns:
            A flat module of one placeholder, its parameters frozen: `get_attr` and `call_function` nodes,
            no copies, no in-place operation.

        Raises:
            ValueError: a part of the map needs the batch size of the network, which `start` does not tell.
        """
        graph = fx.Graph()
        source = self._nodes[start]
        x = graph.placeholder("x")
        x.meta = dict(source.meta)
        done: dict[fx.Node, Any] = {source: x}
        tensors: dict[str, Any] = {}

        def value(node: fx.Node) -> Any:
            if node not in done:
                done[node] = self._copy(node, graph, source, x, tensors, value)
            return done[node]

        total = scaled_sum(graph, [(value(self._nodes[term.node]), term.scale) for term in terms])
        graph.output(total)
        erase_unused(graph)
        return assemble(graph, tensors, name, frozen=True)

    def _copy(
        self,
        node: fx.Node,
        graph: fx.Graph,
        source: fx.Node,
        x: fx.Node,
        tensors: dict[str, Any],
        value: Callable[[fx.Node], Any],
    ) -> Any:
        if _is_transparent(node):
            return value(node.all_input_nodes[0])
        if node.target is functional.batch_size:
            return self._batch_size(node, graph, source, x)
        if node.op == "get_attr" or self._is_constant(node):
            content = self._evaluate(node)
            if not isinstance(content, Tensor):
                return content
            name = str(node.target) if node.op == "get_attr" else f"folded_{node.name}"
            tensors[name] = content
            copy = graph.get_attr(name)
        else:
            args = fx.map_arg(node.args, value)
            kwargs = fx.map_arg(node.kwargs, value)
            copy = graph.create_node(node.op, node.target, args, kwargs)
        copy.meta = dict(node.meta)
        return copy

    def _batch_size(self, node: fx.Node, graph: fx.Graph, source: fx.Node, x: fx.Node) -> fx.Node:
        """Express an integer that counts the network's samples by the size of `source`."""
        _, per_sample, extra = node.args
        batch, (now, then) = self._input.meta["shape"][0], (source.meta[k] for k in ("shape", "next_shape"))
        rows = then[0] - now[0] if then and now else 0
        if rows == 0 or now[0] != rows * batch or int(str(per_sample)) % rows:
            raise ValueError("the first dimension of its input does not count samples")
        copy = graph.call_function(functional.batch_size, (x, int(str(per_sample)) // rows, extra))
        copy.meta = dict(node.meta)
        return copy

    def _is_constant(self, node: fx.Node) -> bool:
        """Say whether a node depends on nothing but parameters (not on the input's shape either)."""
        if node.op == "get_attr":
            return True
        if node.op != "call_function" or node.target is functional.batch_size or node.meta.get("data"):
            return False
        return all(self._is_constant(operand) for operand in node.all_input_nodes)

    def _evaluate(self, node: fx.Node) -> Any:
        if node not in self._constants:
            if node.op == "get_attr":
                self._constants[node] = attribute(self._module, str(node.target))
            else:
                args = fx.map_arg(node.args, self._evaluate)
                kwargs = fx.map_arg(node.kwargs, self._evaluate)
                with torch.no_grad():
                    self._constants[node] = node.target(*args, **kwargs)  # type: ignore[operator]
        return self._constants[node]


def _is_transparent(node: fx.Node) -> bool:
    """Say whether the node copies its operand: layout changes, `x + 0`, `x * 1`, idle casts."""
    if node.op != "call_function" or len(node.all_input_nodes) != 1:
        return False
    operand = node.all_input_nodes[0]
    if not node.meta.get("data") or node.meta["shape"] != operand.meta["shape"]:
        return False
    if node.meta["dtype"] != operand.meta["dtype"] or len(node.args) == 0 or node.args[0] is not operand:
        return False
    if node.target in {torch.Tensor.contiguous, torch.Tensor.to, torch.clone}:
        return True
    neutral = (
        0 if node.target in {torch.add, torch.sub} else 1 if node.target in {torch.mul, torch.div} else None
    )
    return neutral is not None and not node.kwargs and node.args[1:] == (neutral,)
