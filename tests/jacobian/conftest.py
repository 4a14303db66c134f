"""Branches made of torch functions, as the units floor writes them down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor, fx, nn

from resnet_diffeo_probe.jacobian.linearized.dense import dense_jacobian

Operation = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


@dataclass
class HandMadeUnit:
    """A residual unit with an identity shortcut around a given branch."""

    branch: fx.GraphModule
    input_shape: tuple[int, ...]
    name: str = "unit"
    preserves_dimension: bool = True

    def sum_map(self, x: Tensor) -> Tensor:
        return x + self.branch(x)

    def jacobian(self, x: Tensor) -> Tensor:
        """The oracle: the dense Jacobian of the sum map by automatic differentiation."""
        return dense_jacobian(self.sum_map, x[None])


def chain_unit(operations: Sequence[Operation], shape: tuple[int, ...]) -> HandMadeUnit:
    """A unit whose branch applies these operations one after another."""
    root, graph = nn.Module(), fx.Graph()
    node = graph.placeholder("x")
    for target, args, kwargs in operations:

        def constant(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            name = f"p{len(list(root.buffers()))}"
            root.register_buffer(name, value)
            return graph.get_attr(name)

        node = graph.call_function(
            target, (node, *map(constant, args)), {k: constant(v) for k, v in kwargs.items()}
        )
    graph.output(node)
    return HandMadeUnit(fx.GraphModule(root, graph), shape)


@pytest.fixture
def unit_of() -> Callable[[Sequence[Operation], tuple[int, ...]], HandMadeUnit]:
    return chain_unit
