"""A module may be called anything: its name is text, never code of the graphs that are generated."""

from __future__ import annotations

import builtins

import pytest
import torch
from torch import nn

from resnet_diffeo_probe.units import discover

NAMES = [
    'quo"te',
    "line\nbreak",
    '" + str(setattr(__import__("builtins"), "diffeo_probe_was_here", 1)) + "',
    "back\\slash",
    "\N{RIGHT-TO-LEFT OVERRIDE}sdrawkcab",
    "block2-1",
]


class Named(nn.Module):
    """Two units whose convolutions have the same hostile name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        for owner in ("first", "second"):
            block = nn.Module()
            block.add_module(name, nn.Conv2d(2, 2, 3, padding=1))
            self.add_module(f"{name} {owner}", block)
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for owner in ("first", "second"):
            conv = self._modules[f"{self.name} {owner}"]._modules[self.name]
            x = x + torch.relu(conv(x))
        return x


@pytest.mark.parametrize("name", NAMES)
def test_names_are_not_code(name: str) -> None:
    model, x = Named(name).eval(), torch.randn(1, 2, 5, 4)
    found = discover(model, x)
    assert len(found.units) == 2
    output, seen = found.run(x)
    torch.testing.assert_close(output, model(x), rtol=0, atol=0)
    assert set(found.record(x)) == set(seen) == {unit.name for unit in found.units}
    copy = found.to(dtype=torch.float64)
    for unit in copy.units:
        assert unit.sum_map(x.double()).dtype == torch.float64
    assert not hasattr(builtins, "diffeo_probe_was_here")
