"""Activations as they stand in a graph, with the arguments that their network gives them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from resnet_diffeo_probe.activations import Activation, bound
from resnet_diffeo_probe.units.recognition.composites import composite

__all__ = ["activation_name", "applied", "record_of"]


def activation_name(activation_map: fx.GraphModule) -> str:
    """Return the name of the function of an activation's graph: torch's, or that of what code spells out."""
    entry, last = _ends(activation_map)
    found = composite(entry, last, lambda _: None)
    return str(getattr(last.target, "__name__", last.target)) if found is None else found.name


def applied(activation_map: fx.GraphModule | None, name: str) -> Activation:
    """Return what is known of an activation as it stands in a graph of its own.

    Args:
        activation_map: from a placeholder to what the activation makes of it; None where it could not be cut out.
        name: of the function, for one of which nothing is known.
    """
    unknown = Activation(name, (), name, name)
    if activation_map is None:
        return unknown
    graph = activation_map

    def value(node: fx.Node) -> Any:
        return _attribute(graph, str(node.target)) if node.op == "get_attr" else None

    entry, last = _ends(graph)
    calls = {node for node in graph.graph.nodes if node.op == "call_function"}
    found = composite(entry, last, value)
    if found is not None and found.nodes == calls:
        return bound(found.name, found.args)
    if calls != {last} or not last.args or last.args[0] is not entry:
        return unknown
    args, kwargs = fx.node.map_arg(
        (last.args[1:], dict(last.kwargs)), lambda n: value(n) if n.op == "get_attr" else n
    )
    return record_of(str(getattr(last.target, "__name__", last.target)), args, kwargs)


def record_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Activation:
    """Return what is known of a torch function with these arguments after the data.

    Args:
        name: of the function.
        args: positional ones. The numbers of a PReLU's weight are read; a tensor anywhere else is nothing known.
        kwargs: by name.
    """
    if name.removesuffix("_") == "prelu":
        args = tuple(_numbers(value) for value in args)
        kwargs = {key: _numbers(value) for key, value in kwargs.items()}
    return bound(name, args, kwargs)


def _ends(module: fx.GraphModule) -> tuple[fx.Node, fx.Node]:
    nodes = list(module.graph.nodes)
    entry = next(node for node in nodes if node.op == "placeholder")
    output = nodes[-1].args[0]
    return entry, output if isinstance(output, fx.Node) else entry


def _numbers(value: Any) -> Any:
    """Return a weight's numbers, one a channel; anything else as it is."""
    is_weight = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0
    return tuple(value.detach().reshape(-1).tolist()) if is_weight else value


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value
