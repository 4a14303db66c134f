"""A residual branch as a chain of linear segments and pointwise activations, read off its graph once per unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import torch
from torch import Tensor, fx

from ..errors import UnsupportedUnitError
from .activations import Activation, activation
from .block_sparse import SharedBlockMatrix
from .operators import LinearOperator, Shape, linear_operator, pixel_count

__all__ = ["BranchChain", "Segment", "read_chain"]


@dataclass(frozen=True)
class Segment:
    """Linear operations after another, without their constants; possibly none (the identity).

    Attributes:
        operators: in the order of application.
        in_shape: (C, *spatial) it takes.
        out_shape: (C, *spatial) it gives.
        example: a tensor of the branch's dtype and device.
    """

    operators: tuple[LinearOperator, ...]
    in_shape: Shape
    out_shape: Shape
    example: Tensor

    def apply(self, v: Tensor) -> Tensor:
        """Return S v for v of shape (B, *in_shape)."""
        for operator in self.operators:
            v = operator.apply(v)
        return v

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return Sᵀ u for u of shape (B, *out_shape)."""
        zero = self.example.new_zeros(u.shape[0], *self.in_shape)
        _, pull_back = torch.func.vjp(self.apply, zero)
        return pull_back(u)[0]

    @cached_property
    def matrix(self) -> SharedBlockMatrix:
        """The segment as a block-sparse matrix; built once."""
        dtype, device = self.example.dtype, self.example.device
        matrices = [operator.matrix().to(dtype, device) for operator in self.operators]
        if not matrices:
            identity = torch.eye(self.in_shape[0], dtype=dtype, device=device)
            return SharedBlockMatrix.diagonal(identity, pixel_count(self.in_shape))
        return reduce(lambda product, later: later @ product, matrices)


@dataclass(frozen=True)
class BranchChain:
    """F = S_k ∘ σ_k ∘ … ∘ S_1 ∘ σ_1 ∘ S_0, the S affine and the σ pointwise.

    Attributes:
        segments: S_0 … S_k, their linear parts.
        activations: σ_1 … σ_k.
        steps: the operations of F themselves, constants included.
        step_activation: for each step the index of its activation in `activations`, None for linear ones.
        in_shape: (C, *spatial) of the unit's input.
    """

    segments: tuple[Segment, ...]
    activations: tuple[Activation, ...]
    steps: tuple[Callable[[Tensor], Tensor], ...] = field(repr=False)
    step_activation: tuple[int | None, ...] = field(repr=False)
    in_shape: Shape

    def run(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return F(x) and the pre-activations, inputs of σ_1 … σ_k; x is (B, *in_shape)."""
        pre_activations = []
        for step, index in zip(self.steps, self.step_activation, strict=True):
            if index is not None:
                pre_activations.append(x)
            x = step(x)
        return x, pre_activations


def read_chain(branch: fx.GraphModule, in_shape: Shape) -> BranchChain:
    """Read a branch's graph as a chain.

    Args:
        branch: one placeholder, `get_attr` nodes and `call_function` nodes; parameters in the dtype to compute in.
        in_shape: (C, *spatial) of its input.

    Raises:
        UnsupportedUnitError: the branch is not a chain, or holds an operation without a known matrix; names it.
    """
    constants: dict[fx.Node, Any] = {}
    data: fx.Node | None = None
    value: Tensor | None = None
    example = next((p for p in (*branch.parameters(), *branch.buffers()) if p.is_floating_point()), None)
    example = torch.zeros(()) if example is None else example.detach()
    operators: list[LinearOperator] = []
    segments: list[Segment] = []
    activations: list[Activation] = []
    steps: list[Callable[[Tensor], Tensor]] = []
    step_activation: list[int | None] = []
    shape, segment_shape = in_shape, in_shape

    for node in branch.graph.nodes:
        if node.op == "placeholder":
            data, value = node, example.new_zeros(1, *in_shape)
        elif node.op == "get_attr":
            constants[node] = _attribute(branch, str(node.target))
        elif node.op == "output":
            if node.args[0] is not data:
                raise _not_a_chain(node)
        elif node.op == "call_function":
            operands = [n for n in node.all_input_nodes if n not in constants]
            if not operands:  # depends on parameters alone: weight standardisation, say
                constants[node] = node.target(*_fill(node.args, constants), **_fill(node.kwargs, constants))
                continue
            if operands != [data] or node.args[:1] != (data,) or len(data.users) != 1:
                raise _not_a_chain(node)
            try:
                rest, kwargs = _fill(node.args[1:], constants), _fill(node.kwargs, constants)
            except KeyError:  # the data comes in twice: x·x
                raise _not_a_chain(node) from None
            step = _step(node.target, rest, kwargs)
            steps.append(step)
            found = activation(node.target, rest, kwargs)
            if found is not None:
                segments.append(Segment(tuple(operators), segment_shape, shape, example))
                step_activation.append(len(activations))
                activations.append(found)
                operators, segment_shape = [], shape
            else:
                step_activation.append(None)
                operator = linear_operator(node.target, rest, kwargs, shape)
                if operator is not None:
                    operators.append(operator)
                    shape = operator.out_shape
            data, value = node, step(value)
            if tuple(value.shape[1:]) != shape:
                raise UnsupportedUnitError(
                    f"'{_name(node)}' gives shape {tuple(value.shape[1:])} where the exact engine expects {shape}"
                )
        else:
            raise _not_a_chain(node)
    segments.append(Segment(tuple(operators), segment_shape, shape, example))
    return BranchChain(tuple(segments), tuple(activations), tuple(steps), tuple(step_activation), in_shape)


def _step(target: Callable[..., Any], rest: Any, kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    return lambda x: target(x, *rest, **kwargs)


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value.detach() if isinstance(value, Tensor) else value


def _fill(argument: Any, constants: dict[fx.Node, Any]) -> Any:
    return fx.node.map_arg(argument, lambda node: constants[node])


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _not_a_chain(node: fx.Node) -> UnsupportedUnitError:
    return UnsupportedUnitError(
        f"the branch is not a chain of operations: '{_name(node)}' ({node.name}) joins or splits data",
        why="the exact engine takes a branch whose operations follow one another",
    )
