"""Operations that add without being an addition: named when a network has no unit."""

from __future__ import annotations

import torch
from torch import fx

__all__ = ["BLIND_SPOTS", "near_misses"]

BLIND_SPOTS = "torch.addcmul, torch.lerp and torch.stack(...).sum(0)"


def near_misses(graph: fx.Graph) -> dict[fx.Node, str]:
    """Return the operations on data that resemble a residual sum, each with the reason why it is not one.

    Args:
        graph: as `build` makes it.
    """
    found: dict[fx.Node, str] = {}
    for node in graph.nodes:
        if node.op == "call_function" and node.meta.get("data") and (reason := _reason(node)):
            found[node] = reason
    return found


def _reason(node: fx.Node) -> str | None:
    data = [operand for operand in node.all_input_nodes if operand.meta["data"]]
    if len(data) >= 2:
        if node.target is torch.cat:
            return "torch.cat, not an addition"
        if node.target is torch.addcmul:
            return "torch.addcmul, an addition that this tool does not take apart"
        if node.target is torch.lerp:
            return "torch.lerp, an addition that this tool does not take apart"
        if node.target in {torch.add, torch.sub} and data[0].meta["shape"] != data[1].meta["shape"]:
            return "an addition of tensors of different shapes"
    if node.target in {torch.sum, torch.mean} and data and data[0].target is torch.stack:
        return "torch.stack(...).sum(...), an addition that this tool does not take apart"
    return None
