"""Dominators: the node that every path from the input to an operation passes through.

K. D. Cooper, T. J. Harvey, K. Kennedy, "A simple, fast dominance algorithm" (2001); on a graph without
cycles one sweep in execution order is enough.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

__all__ = ["DataFlow"]


class DataFlow:
    """The edges of a graph along which the input travels: parameters and sizes do not count.

    Args:
        graph: nodes carry `meta["data"]`.
    """

    def __init__(self, graph: fx.Graph):
        self.order = {node: position for position, node in enumerate(graph.nodes)}
        self._dominator: dict[fx.Node, fx.Node] = {}
        for node in graph.nodes:
            operands = self.operands(node)
            if node.op != "output" and operands:
                self._dominator[node] = self.common(operands)

    @staticmethod
    def operands(node: fx.Node) -> list[fx.Node]:
        """Return the operands that depend on the input, each once."""
        return [operand for operand in node.all_input_nodes if operand.meta.get("data")]

    @staticmethod
    def users(node: fx.Node) -> list[fx.Node]:
        """Return the operations that read the node's numbers."""
        return [user for user in node.users if user.op == "output" or user.meta.get("data")]

    def common(self, nodes: Iterable[fx.Node]) -> fx.Node:
        """Return the nearest node that dominates all the given ones (a node dominates itself)."""
        first, *rest = nodes
        for node in rest:
            first = self._meet(first, node)
        return first

    def _meet(self, a: fx.Node, b: fx.Node) -> fx.Node:
        while a is not b:
            if self.order[a] > self.order[b]:
                a = self._dominator[a]
            else:
                b = self._dominator[b]
        return a

    def between(self, start: fx.Node, end: fx.Node) -> list[fx.Node]:
        """Return the nodes on the paths from `start` to `end`, without `start`, in execution order.

        Args:
            start: dominates `end`.
            end: the last node; the result ends with it unless it is `start`.
        """
        found: set[fx.Node] = set()
        pending = [end]
        while pending:
            node = pending.pop()
            if node is start or node in found:
                continue
            found.add(node)
            pending.extend(self.operands(node))
        return sorted(found, key=self.order.__getitem__)
