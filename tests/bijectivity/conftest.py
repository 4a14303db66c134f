"""Small random units whose maps are known: branches of torch functions around an identity shortcut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


@dataclass
class SmallUnit:
    """x -> a(x + F(x)), with the branch F as a flat graph."""

    branch: fx.GraphModule
    input_shape: tuple[int, ...]
    activation: str | None = None
    name: str = "block"
    preserves_dimension: bool = True

    def sum_map(self, x: Tensor) -> Tensor:
        return x + self.branch(x)

    def forward(self, x: Tensor) -> Tensor:
        total = self.sum_map(x)
        return torch.relu(total) if self.activation == "relu" else total

    def dense(self, x: Tensor) -> Tensor:
        """The oracle: the dense Jacobian of the sum map by automatic differentiation."""
        return torch.func.jacrev(self.sum_map)(x).detach().reshape(x.numel(), x.numel())

    def sign(self, x: Tensor) -> int:
        return int(torch.linalg.slogdet(self.dense(x)).sign)

    def draw(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(1, *self.input_shape, dtype=torch.float64, generator=generator)

    def opposite(self, attempts: int = 200) -> tuple[Tensor, Tensor] | None:
        """Two points with opposite signs of the determinant, positive first; None if none was drawn."""
        seen: dict[int, Tensor] = {}
        for seed in range(attempts):
            x = 2 * self.draw(seed)
            seen.setdefault(self.sign(x), x)
            if 1 in seen and -1 in seen:
                return seen[1], seen[-1]
        return None


Operation = tuple[Callable[..., Any], tuple[Any, ...]]


def unit_of(operations: list[Operation], shape: tuple[int, ...], **about: Any) -> SmallUnit:
    root, graph = nn.Module(), fx.Graph()
    node = graph.placeholder("x")
    for target, args in operations:
        filled = []
        for value in args:
            if isinstance(value, Tensor):
                name = f"p{len(list(root.buffers()))}"
                root.register_buffer(name, value)
                filled.append(graph.get_attr(name))
            else:
                filled.append(value)
        node = graph.call_function(target, (node, *filled))
    graph.output(node)
    return SmallUnit(fx.GraphModule(root, graph), shape, **about)


def random_unit(seed: int, kind: str, *, scale: float = 1.5, **about: Any) -> SmallUnit:
    """A unit of a kind, with random weights that are large enough for folds at scale 1.5 and beyond."""
    generator = torch.Generator().manual_seed(seed)

    def weight(*shape: int) -> Tensor:
        fan = max(1, torch.Size(shape[1:]).numel())
        return scale * torch.randn(*shape, dtype=torch.float64, generator=generator) / fan**0.5

    def bias(size: int) -> Tensor:
        return 0.3 * torch.randn(size, dtype=torch.float64, generator=generator)

    if kind in ("dense", "tanh", "leaky", "gelu"):
        act: Operation = {
            "dense": (F.relu, ()),
            "tanh": (torch.tanh, ()),
            "gelu": (F.gelu, ()),
            "leaky": (F.leaky_relu, (0.2,)),
        }[kind]
        operations = [(F.linear, (weight(9, 6), bias(9))), act, (F.linear, (weight(6, 9), bias(6)))]
        return unit_of(operations, (6,), **about)
    if kind == "deep":
        operations = [
            (F.linear, (weight(8, 6), bias(8))),
            (F.relu, ()),
            (F.linear, (weight(7, 8), bias(7))),
            (F.relu, ()),
            (F.linear, (weight(6, 7), bias(6))),
        ]
        return unit_of(operations, (6,), **about)
    if kind == "basic":
        operations = [
            (torch.conv2d, (weight(3, 2, 3, 3), bias(3), 1, 1)),
            (F.relu, ()),
            (torch.conv2d, (weight(2, 3, 3, 3), bias(2), 1, 1)),
        ]
        return unit_of(operations, (2, 4, 3), **about)
    assert kind == "bottleneck"
    operations = [
        (torch.conv2d, (weight(2, 4, 1, 1), bias(2))),
        (F.relu, ()),
        (torch.conv2d, (weight(2, 2, 3, 3), bias(2), 1, 1)),
        (F.relu, ()),
        (torch.conv2d, (weight(4, 2, 1, 1), bias(4))),
    ]
    return unit_of(operations, (4, 3, 4), **about)


@pytest.fixture(scope="session")
def make_unit() -> Callable[..., SmallUnit]:
    return random_unit


@pytest.fixture(scope="session")
def build_unit() -> Callable[..., SmallUnit]:
    return unit_of
