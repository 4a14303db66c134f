"""Which additions of a graph are residual units, and why the others are not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import fx

from resnet_diffeo_probe.units.recognition import kinds
from resnet_diffeo_probe.units.recognition.composites import composite
from resnet_diffeo_probe.units.recognition.dominators import DataFlow
from resnet_diffeo_probe.units.recognition.near_misses import near_misses
from resnet_diffeo_probe.units.recognition.terms import Term, owner_name, terms_of

__all__ = ["RecognizedUnit", "RejectedSum", "plan_units"]


@dataclass(frozen=True)
class RejectedSum:
    """An operation that adds but is not a residual unit.

    Attributes:
        name: the module that owns it.
        reason: one plain sentence.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class RecognizedUnit:
    """A residual unit in the nodes of one graph, by name, so that a plan fits every copy of the graph.

    Attributes:
        name: unique name of the unit.
        input: the node that the shortcut and the branch start from.
        shortcut: the term that passes the input on.
        branch: the other terms.
        sum: the addition.
        activation: the elementwise activation of the sum, or None.
        kind: `identity`, `projection`, `padding` or `pooling`.
    """

    name: str
    input: str
    shortcut: Term
    branch: tuple[Term, ...]
    sum: str
    activation: str | None
    kind: str


class _RejectedError(Exception):
    """The reason why an addition is not a unit."""


def plan_units(graph: fx.Graph) -> tuple[list[RecognizedUnit], list[RejectedSum]]:
    """Find the residual units of a rebuilt graph.

    Args:
        graph: as `build` makes it.

    Returns:
        The plans of the units in execution order, and the sums that were looked at and refused.
    """
    return _Planner(graph).plan()


class _Planner:
    def __init__(self, graph: fx.Graph):
        self.graph = graph
        self.flow = DataFlow(graph)
        self.nodes = {node.name: node for node in graph.nodes}
        self.accepted: dict[fx.Node, RecognizedUnit] = {}
        self.rejected: dict[fx.Node, str] = {}

    def plan(self) -> tuple[list[RecognizedUnit], list[RejectedSum]]:
        inner: set[fx.Node] = set()
        for node in reversed(self.graph.nodes):  # outer sums first: they swallow the inner ones
            if _is_candidate(node) and node not in inner:
                inner.update(terms_of(node, self.flow).swallowed)
        for node in self.graph.nodes:
            if _is_candidate(node) and node not in inner:
                self._judge(node)
        plans = _uniquely_named(self._activations_settled())
        misses = {**self.rejected, **near_misses(self.graph)}
        ordered = sorted(misses, key=self.flow.order.__getitem__)
        return plans, [RejectedSum(owner_name([node]), misses[node]) for node in ordered]

    def _judge(self, node: fx.Node) -> None:
        try:
            self.accepted[node] = self._examine(node)
        except _RejectedError as reason:
            self.rejected[node] = str(reason)
            # the inner additions that it took in stand for themselves again
            for part in sorted(terms_of(node, self.flow).swallowed, key=self.flow.order.__getitem__):
                if part not in self.accepted and part not in self.rejected and _is_candidate(part):
                    self._judge(part)

    def _examine(self, node: fx.Node) -> RecognizedUnit:
        terms = terms_of(node, self.flow).terms
        start = self.flow.common([self.nodes[term.node] for term in terms])
        regions = {term: self.flow.between(start, self.nodes[term.node]) for term in terms}
        everything = [part for region in regions.values() for part in region]
        if start.meta["shape"] is None:  # a tuple of tensors
            raise _RejectedError("it adds pieces of a split tensor")
        shortcut = min(terms, key=lambda term: _cost(regions[term]))
        branch = tuple(term for term in terms if term is not shortcut)
        branches = [regions[term] for term in branch]
        way = [part for part in regions[shortcut] if not kinds.is_identity(part)]
        self._check(everything, way, branches, regions[shortcut])
        name = owner_name([node]) or owner_name(everything) or "network"
        return RecognizedUnit(
            name,
            start.name,
            shortcut,
            branch,
            node.name,
            self._activation_after(node),
            _shortcut_kind(way, shortcut),
        )

    def _check(
        self,
        everything: list[fx.Node],
        way: list[fx.Node],
        branches: list[list[fx.Node]],
        shortcut: list[fx.Node],
    ) -> None:
        branch = [part for region in branches for part in region]
        if any(kinds.is_upsampling(part) for part in everything):
            raise _RejectedError("a path to it is upsampled: it merges scales")
        if any(kinds.is_split(part) or kinds.is_piece(part) for part in shortcut):
            raise _RejectedError("what would be its shortcut is a piece of a split tensor")
        if set(shortcut) & set(branch):
            raise _RejectedError("its two paths overlap: neither is a function of a common input alone")
        if any(part in self.accepted for part in everything):
            raise _RejectedError("it skips over other residual units: a long skip, not a unit")
        if not any(kinds.is_weighted(part) for part in branch):
            raise _RejectedError("what would be its branch has no convolution or linear layer")
        weighted = sum(kinds.is_weighted(part) for part in way)
        if weighted > 1:
            raise _RejectedError(
                f"its shorter path has {weighted} layers with weights, where a shortcut has at most one"
            )
        if strangers := [part for part in way if not _belongs_to_shortcut(part)]:
            raise _RejectedError(f"its shorter path is not a shortcut: it holds {_spelled(strangers[0])}")
        deepest = max(sum(kinds.is_weighted(part) for part in region) for region in branches)
        if weighted and deepest < 2 and not any(kinds.is_activation(part) for part in branch):
            raise _RejectedError("its paths are single layers without activation: a sum of linear maps")

    def _activation_after(self, node: fx.Node) -> str | None:
        """Return where what follows a sum as its activation ends; None if nothing, or no single thing, does."""
        users = self.flow.users(node)
        joined = {user for user in users if user.target is torch.mul}
        for user in joined:
            if composite(node, user, lambda _: None) is not None:
                return user.name
        activations = [user for user in users if user.op == "call_function" and kinds.is_activation(user)]
        if len(activations) != 1:
            return None
        # a gate: what is made of the sum is multiplied by the sum
        part = activations[0]
        while (after := self.flow.users(part)) and not joined.intersection(after):
            if len(after) != 1 or not (kinds.is_activation(after[0]) or kinds.is_scale(after[0])):
                return activations[0].name
            part = after[0]
        return next(user.name for user in after if user in joined) if after else activations[0].name

    def _activations_settled(self) -> list[RecognizedUnit]:
        """Drop the activations of a pre-activation network.

        There the next shortcut reads the raw sum, and the activation after it belongs to the next branch.
        """
        plans = [self.accepted[node] for node in sorted(self.accepted, key=self.flow.order.__getitem__)]
        sums = {plan.sum for plan in plans}
        activated = {plan.activation for plan in plans if plan.activation}
        identity_inputs = {plan.input for plan in plans if plan.kind == "identity"}
        if identity_inputs & sums and not identity_inputs & activated:
            return [replace(plan, activation=None) for plan in plans]
        return [replace(plan, activation=None) if plan.sum in identity_inputs else plan for plan in plans]


def _is_candidate(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target not in {torch.add, torch.sub} or not node.meta["data"]:
        return False
    operands = [arg for arg in node.args if isinstance(arg, fx.Node) and arg.meta["data"]]
    return len(operands) == 2 and operands[0].meta["shape"] == operands[1].meta["shape"]


def _cost(region: list[fx.Node]) -> tuple[int, int, int]:
    return (
        sum(kinds.is_weighted(node) for node in region),
        sum(kinds.is_activation(node) for node in region),
        sum(not kinds.is_identity(node) for node in region),
    )


def _belongs_to_shortcut(node: fx.Node) -> bool:
    tests = (kinds.is_weighted, kinds.is_norm, kinds.is_pool, kinds.is_pad, kinds.is_slice, kinds.is_reshape)
    return any(test(node) for test in tests) or kinds.is_scale(node) or kinds.is_identity(node)


def _shortcut_kind(way: list[fx.Node], shortcut: Term) -> str:
    if any(kinds.is_weighted(node) for node in way):
        return "projection"
    if any(kinds.is_pad(node) for node in way):
        return "padding"
    if any(kinds.is_pool(node) or kinds.is_slice(node) for node in way):
        return "pooling"
    # a scaled, negated or rearranged input is a linear map of it, not the input itself
    return "projection" if way or shortcut.scale != 1 else "identity"


def _spelled(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _uniquely_named(plans: list[RecognizedUnit]) -> list[RecognizedUnit]:
    seen: Counter[str] = Counter()
    named = []
    for plan in plans:
        seen[plan.name] += 1
        count = seen[plan.name]
        named.append(plan if count == 1 else replace(plan, name=f"{plan.name}#{count}"))
    return named
