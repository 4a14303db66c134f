"""A residual branch read off its graph, once per unit: linear segments with non-linear stages between them.

The branch is walked along the points through which all its data passes. Between two of them stands one operation, or a
region that splits and joins again (a gate). Tensors are kept channels first whatever layout the code works in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.activations import activation, spelled_out
from resnet_diffeo_probe.jacobian.branch.gates import read_gates
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape
from resnet_diffeo_probe.jacobian.branch.max_pooling import max_pooling
from resnet_diffeo_probe.jacobian.branch.operators import linear_operator
from resnet_diffeo_probe.jacobian.branch.segments import BranchChain, Segment
from resnet_diffeo_probe.jacobian.branch.stages import (
    DenseStage,
    GroupNormStage,
    PointwiseStage,
    PositionNormStage,
    Stage,
)

__all__ = ["dense_chain", "read_chain"]


def dense_chain(branch: fx.GraphModule, in_shape: Shape) -> BranchChain:
    """Return any branch as one dense block over one pixel: for few coordinates.

    Args:
        branch: (1, *in_shape) -> (1, *in_shape).
        in_shape: of its input.
    """
    example = _example(branch)
    n = math.prod(in_shape)

    def flat(v: Tensor) -> Tensor:
        return branch.forward(v.reshape(1, *in_shape)).reshape(1, n)

    identity = Segment((), (n,), (n,), example)
    return BranchChain((identity, identity), (DenseStage(flat),), (0,), (n,))


def read_chain(branch: fx.GraphModule, in_shape: Shape) -> BranchChain:
    """Read a branch's graph.

    Args:
        branch: one placeholder, `get_attr` nodes and `call_function` nodes; parameters in the dtype to compute in.
        in_shape: (C, *spatial) of its input.

    Raises:
        UnsupportedUnitError: the branch holds an operation, or splits in a way, that is not known; names it.
    """
    reader = _ChainReader(branch, in_shape)
    reader.read()
    return reader.chain()


def _example(branch: fx.GraphModule) -> Tensor:
    tensors = (*branch.parameters(), *branch.buffers())
    example = next((p for p in tensors if p.is_floating_point()), None)
    # without any parameter nothing says in which arithmetic to compute: in the more exact one
    return torch.zeros((), dtype=torch.float64, device="cpu") if example is None else example.detach()


class _ChainReader:
    """Follows the data through a branch's graph."""

    def __init__(self, branch: fx.GraphModule, in_shape: Shape) -> None:
        self._example = _example(branch)
        self._branch, self._in_shape = branch, in_shape
        self._constants: dict[fx.Node, Any] = {}
        self._values: dict[fx.Node, Tensor] = {}  # raw values on a zero input, for their shapes
        self._operators: list[LinearOperator] = []
        self._segments: list[Segment] = []
        self._stages: list[Stage] = []
        self._steps: list[Callable[[Tensor], Tensor] | int] = []
        self._shape, self._segment_shape = in_shape, in_shape
        self._channels_last = False

    def read(self) -> None:
        """Walk from the placeholder to the output."""
        data = self._evaluate()
        last_use = {
            node: max((data.index(u) for u in node.users if u in self._values), default=-1) for node in data
        }
        entry, region, reach = data[0], [], last_use[data[0]]
        for index, node in enumerate(data[1:], 1):
            region.append(node)
            if reach <= index:  # all data passes through here
                self._take(entry, region)
                entry, region = node, []
            reach = max(reach, last_use[node])

    def _evaluate(self) -> list[fx.Node]:
        """Run the graph on zeros; return the nodes that depend on its input, in order."""
        data: list[fx.Node] = []
        for node in self._branch.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = self._example.new_zeros(1, *self._in_shape)
                data.append(node)
            elif node.op == "get_attr":
                self._constants[node] = _attribute(self._branch, str(node.target))
            elif node.op == "call_function":
                operands = [n for n in node.all_input_nodes if n not in self._constants]
                value = node.target(*self._fill(node.args), **self._fill(node.kwargs))
                if not operands:  # depends on parameters alone: weight standardisation, say
                    self._constants[node] = value
                elif isinstance(value, Tensor):
                    self._values[node] = value
                    data.append(node)
                else:
                    raise UnsupportedUnitError(f"'{_name(node)}' ({node.name}) gives several tensors")
            elif node.op == "output":
                if node.args[0] is not data[-1]:
                    raise UnsupportedUnitError("the branch computes what it does not use")
            else:
                raise UnsupportedUnitError(f"the branch calls '{node.target}', which was not taken apart")
        return data

    def _take(self, entry: fx.Node, region: list[fx.Node]) -> None:
        """Take the operations from one point through which all data passes to the next."""
        node = region[-1]
        if (spelled := spelled_out(entry, region, self._constants)) is not None:
            self._add_stage(PointwiseStage(spelled))
        elif len(region) > 1 or not self._is_one_operation(entry, node):
            shapes = {n: tuple(self._values[n].shape) for n in (entry, *region)}
            self._add_stage(
                read_gates(
                    entry,
                    region,
                    shapes,
                    self._constants,
                    to_raw=self._to_raw(),
                    to_canonical=self._to_canonical(),
                )
            )
        elif _name(node) == "permute":
            self._permute(node)
        else:
            self._operation(node)
        if self._canonical_shape(self._values[node]) != self._shape:
            raise UnsupportedUnitError(
                f"'{_name(node)}' gives shape {tuple(self._values[node].shape[1:])}, "
                f"the exact engine expects {self._shape}"
            )

    def _is_one_operation(self, entry: fx.Node, node: fx.Node) -> bool:
        in_place = [argument for argument in node.args if isinstance(argument, fx.Node)]
        return in_place.count(entry) == 1 and node.args[0] is entry and entry not in node.kwargs.values()

    def _operation(self, node: fx.Node) -> None:
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        rest, kwargs = self._fill(node.args[1:]), self._fill(node.kwargs)
        stage = self._stage(node, target, rest, kwargs)
        if stage is not None:
            self._add_stage(stage)
            return
        pooling = None if self._channels_last else max_pooling(target, rest, kwargs, self._shape)
        if pooling is not None:
            self._add_operator(pooling.windows, pooling.spread)
            self._add_stage(pooling.selection)
            self._add_operator(pooling.total, pooling.total.apply)
            return
        operator = linear_operator(target, rest, kwargs, self._shape, channels_last=self._channels_last)
        if operator is not None:
            self._operators.append(operator)
            self._shape = operator.out_shape
        to_raw, to_canonical = self._to_raw(), self._to_canonical()
        self._steps.append(lambda x: to_canonical(target(to_raw(x), *rest, **kwargs)))

    def _add_operator(self, operator: LinearOperator, step: Callable[[Tensor], Tensor]) -> None:
        self._operators.append(operator)
        self._shape = operator.out_shape
        self._steps.append(step)

    def _stage(
        self, node: fx.Node, target: Any, rest: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stage | None:
        found = activation(target, rest, kwargs)
        if found is not None:
            if self._channels_last and found.name == "prelu":
                raise UnsupportedUnitError("a PReLU on channels-last data is not known to the exact engine")
            return PointwiseStage(found)
        if _name(node) == "group_norm":
            return _group_norm(rest, kwargs, self._shape)
        if _name(node) == "layer_norm":
            return self._layer_norm(rest, kwargs)
        return None

    def _layer_norm(self, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Stage:
        given = dict(zip(("normalized_shape", "weight", "bias", "eps"), rest, strict=False)) | kwargs
        normalized, eps = tuple(given["normalized_shape"]), float(given.get("eps", 1e-5))
        weight, bias = given.get("weight"), given.get("bias")
        if normalized == self._shape and not self._channels_last:
            return GroupNormStage(1, weight, bias, eps)
        if normalized == self._shape[:1] and (self._channels_last or len(self._shape) == 1):
            return PositionNormStage(weight, bias, eps)
        raise UnsupportedUnitError(
            f"a layer norm over {normalized} of data of shape {self._shape} is not known"
        )

    def _permute(self, node: fx.Node) -> None:
        """Channels move last, or come back first; nothing moves in the canonical layout."""
        dims = node.args[1] if len(node.args) == 2 else node.args[1:]
        order = tuple(int(d) for d in dims)  # type: ignore[union-attr,arg-type]
        axes = len(order)
        last, first = (0, *range(2, axes), 1), (0, axes - 1, *range(1, axes - 1))
        if order == last and not self._channels_last:
            self._channels_last = True
        elif order == first and self._channels_last:
            self._channels_last = False
        else:
            raise UnsupportedUnitError(f"a permutation {order} of axes is not known to the exact engine")

    def _add_stage(self, stage: Stage) -> None:
        self._segments.append(self._segment())
        self._steps.append(len(self._stages))
        self._stages.append(stage)
        self._operators, self._segment_shape = [], self._shape

    def _segment(self) -> Segment:
        return Segment(tuple(self._operators), self._segment_shape, self._shape, self._example)

    def _fill(self, argument: Any) -> Any:
        def look_up(node: fx.Node) -> Any:
            return self._constants[node] if node in self._constants else self._values[node]

        return fx.node.map_arg(argument, look_up)

    def _to_raw(self) -> Callable[[Tensor], Tensor]:
        return _channels_to_back if self._channels_last else _as_it_is

    def _to_canonical(self) -> Callable[[Tensor], Tensor]:
        return _channels_to_front if self._channels_last else _as_it_is

    def _canonical_shape(self, raw: Tensor) -> Shape:
        return tuple(self._to_canonical()(raw).shape[1:])

    def chain(self) -> BranchChain:
        """Return what was read."""
        return BranchChain(
            (*self._segments, self._segment()), tuple(self._stages), tuple(self._steps), self._in_shape
        )


def _group_norm(rest: tuple[Any, ...], kwargs: dict[str, Any], shape: Shape) -> Stage:
    given = dict(zip(("num_groups", "weight", "bias", "eps"), rest, strict=False)) | kwargs
    column = (-1, *(1,) * (len(shape) - 1))
    weight, bias = (
        None if given.get(key) is None else given[key].reshape(column) for key in ("weight", "bias")
    )
    return GroupNormStage(int(given["num_groups"]), weight, bias, float(given.get("eps", 1e-5)))


def _as_it_is(v: Tensor) -> Tensor:
    return v


def _channels_to_back(v: Tensor) -> Tensor:
    return v.movedim(1, -1)


def _channels_to_front(v: Tensor) -> Tensor:
    return v.movedim(-1, 1)


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value.detach() if isinstance(value, Tensor) else value


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))
