"""Seeing into units: identity modules for hooks and captum, and activations of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.units.graph.build import assemble, erase_unused
from resnet_diffeo_probe.units.recognition.rules import RecognizedUnit
from resnet_diffeo_probe.units.subgraph import attribute, scaled_sum
from resnet_diffeo_probe.units.unit import ResidualUnit, UnitActivations

__all__ = ["PLACES", "observed", "record_taps", "tapped"]

PLACES = ("input", "branch", "sum", "output")


def _copy(module: fx.GraphModule) -> tuple[fx.Graph, dict[str, fx.Node], dict[str, Any]]:
    """Copy a graph; return it with its nodes by their old names and its tensors."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        copies[node] = graph.node_copy(node, lambda operand: copies[operand])
        copies[node].meta = dict(node.meta)
    tensors = {
        str(node.target): attribute(module, str(node.target))
        for node in module.graph.nodes
        if node.op == "get_attr"
    }
    return graph, {node.name: copy for node, copy in copies.items()}, tensors


def observed(
    module: fx.GraphModule, plans: Sequence[RecognizedUnit], x: Tensor
) -> tuple[Any, dict[str, UnitActivations]]:
    """Run a rebuilt network and keep what goes through its units.

    The network computes exactly what it computes otherwise: a branch that is no single node (a subtraction,
    a factor, several parts) is computed beside it.

    Args:
        module: the network.
        plans: of its units.
        x: a batch.

    Returns:
        The output, and the activations by unit name, detached clones.
    """
    graph, nodes, tensors = _copy(module)
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    seen: dict[str, tuple[fx.Node, ...]] = {}
    with graph.inserting_before(output):
        for plan in plans:
            branch = scaled_sum(graph, [(nodes[term.node], term.scale) for term in plan.branch])
            seen[plan.name] = (nodes[plan.input], branch, nodes[plan.sum], nodes[plan.activation or plan.sum])
    output.args = ((output.args[0], seen),)
    with torch.no_grad():
        result, values = assemble(graph, tensors).forward(x)
    activations = {
        name: UnitActivations(*(value.detach().clone() for value in parts)) for name, parts in values.items()
    }
    return result, activations


def tapped(
    module: fx.GraphModule, plans: Sequence[RecognizedUnit], units: Sequence[ResidualUnit]
) -> fx.GraphModule:
    """Put `nn.Identity` taps into a copy of a rebuilt network.

    A sum whose branch is no single node is rewritten as shortcut + branch, equal up to rounding; every
    other sum is left as it is.

    Args:
        module: the network; not changed.
        plans: of its units.
        units: the units, for their tap names.

    Returns:
        The copy, with submodules `taps.<tap_name>.{input,branch,sum,output}`.
    """
    graph, nodes, tensors = _copy(module)

    def tap(node: fx.Node, unit: ResidualUnit, place: str) -> fx.Node:
        target = f"taps.{unit.tap_name}.{place}"
        tensors[target] = nn.Identity()
        with graph.inserting_after(node):
            identity = graph.call_module(target, (node,))
        identity.meta = dict(node.meta)
        return identity

    # what stands for a node after the taps on it: the next tap on the same value goes behind the last
    last: dict[str, fx.Node] = {}

    def tap_value(name: str, unit: ResidualUnit, place: str) -> None:
        node = last.get(name, nodes[name])
        identity = tap(node, unit, place)
        node.replace_all_uses_with(identity, delete_user_cb=lambda user: user is not identity)
        last[name] = identity

    for plan, unit in zip(plans, units, strict=True):
        tap_value(plan.input, unit, "input")
        total = nodes[plan.sum]
        if len(plan.branch) == 1 and plan.branch[0].scale == 1 and plan.shortcut.scale == 1:
            branch = nodes[plan.branch[0].node]
            branch = last.get(plan.branch[0].node, branch)
            total.replace_input_with(branch, tap(branch, unit, "branch"))
        else:
            with graph.inserting_before(total):
                parts = [(last.get(term.node, nodes[term.node]), term.scale) for term in plan.branch]
                branch = scaled_sum(graph, parts)
                shortcut = last.get(plan.shortcut.node, nodes[plan.shortcut.node])
                shortcut = scaled_sum(graph, [(shortcut, plan.shortcut.scale)])
            total.args = (shortcut, tap(branch, unit, "branch"))
            total.target, total.kwargs = torch.add, {}
        tap_value(plan.sum, unit, "sum")
        tap_value(plan.activation or plan.sum, unit, "output")
    erase_unused(graph)  # partial sums that a rewritten sum no longer reads
    graph.lint()
    return assemble(graph, tensors, "TappedNetwork")


def record_taps(
    module: fx.GraphModule, units: Sequence[ResidualUnit], x: Tensor
) -> dict[str, UnitActivations]:
    """Run a tapped network with plain forward hooks.

    Args:
        module: as `tapped` makes it.
        units: its units.
        x: a batch.

    Returns:
        The activations by unit name, detached clones.
    """
    values: dict[tuple[str, str], Tensor] = {}
    handles = []

    def hook(key: tuple[str, str]) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            values[key] = output.detach().clone()

        return keep

    for unit in units:
        for place in PLACES:
            site = module.get_submodule(f"taps.{unit.tap_name}.{place}")
            handles.append(site.register_forward_hook(hook((unit.name, place))))
    try:
        with torch.no_grad():
            module(x)
    finally:
        for handle in handles:
            handle.remove()
    return {unit.name: UnitActivations(*(values[unit.name, place] for place in PLACES)) for unit in units}
