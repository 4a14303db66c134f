"""What a rebuilt graph has to be: functional, and the same bits as the module."""

from __future__ import annotations

import torch
from torch import fx, nn

from resnet_diffeo_probe.units import discover


def assert_functional(module: fx.GraphModule) -> None:
    """No module call, no in-place operation, no in-place flag, every argument a constant or a node."""
    for node in module.graph.nodes:
        assert node.op in {"placeholder", "get_attr", "call_function", "output"}
        name = getattr(node.target, "__name__", str(node.target)).split(".")[0]
        assert name.endswith("__") or not name.endswith("_") or node.op != "call_function", name
        assert "inplace" not in node.kwargs
        assert "out" not in node.kwargs
    assert sum(node.op == "placeholder" for node in module.graph.nodes) == 1


def assert_rebuilt(model: nn.Module, x: torch.Tensor, *others: torch.Tensor):
    found = discover(model, x)
    assert found.exact
    assert_functional(found.graph)
    for batch in (x, *others):
        before = batch.clone()
        with torch.no_grad():
            assert torch.equal(found.graph(batch), model(batch.clone()))
        assert torch.equal(batch, before)
    for unit in found.units:
        assert_functional(unit.branch)
        assert_functional(unit.shortcut_map)
    return found
