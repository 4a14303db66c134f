"""A residual branch as a chain of linear segments and pointwise activations, read off its graph once per unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.activations import Activation, activation
from resnet_diffeo_probe.jacobian.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.operators import LinearOperator, Shape, linear_operator, pixel_count

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
        if not self.operators:
            return u
        with torch.enable_grad():
            zero = self.example.new_zeros(u.shape[0], *self.in_shape).requires_grad_()
            (pulled,) = torch.autograd.grad(self.apply(zero), zero, u)
        return pulled

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
    reader = _ChainReader(branch, in_shape)
    for node in branch.graph.nodes:
        reader.read(node)
    return reader.chain()


class _ChainReader:
    """Follows the one thread of data through a branch's graph."""

    def __init__(self, branch: fx.GraphModule, in_shape: Shape) -> None:
        example = next((p for p in (*branch.parameters(), *branch.buffers()) if p.is_floating_point()), None)
        self._example = torch.zeros(()) if example is None else example.detach()
        self._branch, self._in_shape = branch, in_shape
        self._data = next(node for node in branch.graph.nodes if node.op == "placeholder")
        self._value = self._example.new_zeros(1, *in_shape)
        self._constants: dict[fx.Node, Any] = {}
        self._operators: list[LinearOperator] = []
        self._segments: list[Segment] = []
        self._activations: list[Activation] = []
        self._steps: list[Callable[[Tensor], Tensor]] = []
        self._step_activation: list[int | None] = []
        self._shape, self._segment_shape = in_shape, in_shape

    def read(self, node: fx.Node) -> None:
        """Take the next node of the graph."""
        if node.op == "get_attr":
            self._constants[node] = _attribute(self._branch, str(node.target))
        elif node.op == "output":
            if node.args[0] is not self._data:
                raise _not_a_chain(node)
        elif node.op == "call_function":
            self._call(node)
        elif node is not self._data:
            raise _not_a_chain(node)

    def _call(self, node: fx.Node) -> None:
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        operands = [n for n in node.all_input_nodes if n not in self._constants]
        if not operands:  # depends on parameters alone: weight standardisation, say
            self._constants[node] = target(*self._fill(node.args), **self._fill(node.kwargs))
            return
        if operands != [self._data] or node.args[:1] != (self._data,) or len(self._data.users) != 1:
            raise _not_a_chain(node)
        try:
            rest, kwargs = self._fill(node.args[1:]), self._fill(node.kwargs)
        except KeyError:  # the data comes in twice: x·x
            raise _not_a_chain(node) from None
        found = activation(target, rest, kwargs)
        if found is not None:
            self._segments.append(self._segment())
            self._step_activation.append(len(self._activations))
            self._activations.append(found)
            self._operators, self._segment_shape = [], self._shape
        else:
            self._step_activation.append(None)
            operator = linear_operator(target, rest, kwargs, self._shape)
            if operator is not None:
                self._operators.append(operator)
                self._shape = operator.out_shape
        step = _step(target, rest, kwargs)
        self._steps.append(step)
        self._data, self._value = node, step(self._value)
        if tuple(self._value.shape[1:]) != self._shape:
            raise UnsupportedUnitError(
                f"'{_name(node)}' gives shape {tuple(self._value.shape[1:])}, the exact engine expects {self._shape}"
            )

    def _segment(self) -> Segment:
        return Segment(tuple(self._operators), self._segment_shape, self._shape, self._example)

    def _fill(self, argument: Any) -> Any:
        return fx.node.map_arg(argument, lambda node: self._constants[node])

    def chain(self) -> BranchChain:
        """Return what was read."""
        return BranchChain(
            (*self._segments, self._segment()),
            tuple(self._activations),
            tuple(self._steps),
            tuple(self._step_activation),
            self._in_shape,
        )


def _step(target: Callable[..., Any], rest: Any, kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    return lambda x: target(x, *rest, **kwargs)


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value.detach() if isinstance(value, Tensor) else value


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _not_a_chain(node: fx.Node) -> UnsupportedUnitError:
    return UnsupportedUnitError(
        f"the branch is not a chain of operations: '{_name(node)}' ({node.name}) joins or splits data",
        why="the exact engine takes a branch whose operations follow one another",
    )
