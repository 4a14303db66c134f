"""An independent copy of a rebuilt network in another dtype or on another device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.units.graph.build import assemble
from resnet_diffeo_probe.units.graph.values import map_structure
from resnet_diffeo_probe.units.subgraph import attribute

__all__ = ["transferred"]


def transferred(
    module: fx.GraphModule, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> fx.GraphModule:
    """Copy a rebuilt network.

    Args:
        module: as `build` makes it.
        dtype: a floating-point dtype for floating-point tensors, and for floating-point dtypes that the
            network's code names in casts and of data; None keeps them. Constants that the code makes are made in the
            dtype that it makes them in, and converted: their numbers are the user's.
        device: likewise for devices.

    Returns:
        A network that shares no memory with the given one.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}

    def changed(item: Any) -> Any:
        if isinstance(item, fx.Node):
            return copies[item]
        if dtype is not None and isinstance(item, torch.dtype) and item.is_floating_point:
            return dtype
        if device is not None and isinstance(item, torch.device):
            return torch.device(device)
        return item

    def moved_only(item: Any) -> Any:
        return torch.device(device) if device is not None and isinstance(item, torch.device) else item

    tensors: dict[str, Any] = {}
    moved: dict[int, Tensor] = {}
    for node in module.graph.nodes:
        made = dtype is not None and _makes_constant(node)
        change = moved_only if made else changed
        args, kwargs = map_structure(change, node.args), map_structure(change, dict(node.kwargs))
        copies[node] = copy = graph.create_node(node.op, node.target, tuple(args), kwargs, name=node.name)
        copy.meta = {key: changed(item) for key, item in node.meta.items()}
        if made:
            copies[node] = graph.create_node(
                "call_function", torch.Tensor.to, (copy, dtype), name=f"{node.name}_converted"
            )
            copies[node].meta = dict(copy.meta)
        if node.op == "get_attr":
            original = attribute(module, str(node.target))
            if id(original) not in moved:
                moved[id(original)] = _moved(original, dtype, device)
            tensors[str(node.target)] = moved[id(original)]
    return assemble(graph, tensors)


def _makes_constant(node: fx.Node) -> bool:
    """Say whether an operation makes a floating-point tensor of numbers alone (`torch.full`, `torch.hann_window`)."""
    if node.op != "call_function" or node.all_input_nodes or node.meta.get("data"):
        return False
    kind = node.meta.get("dtype")
    return isinstance(kind, torch.dtype) and kind.is_floating_point


def _moved(tensor: Tensor, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    wanted = dtype if tensor.is_floating_point() else None
    copy = tensor.detach().clone().to(dtype=wanted, device=device)
    return (
        nn.Parameter(copy, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
    )
