"""A tape -> a functional `torch.fx.GraphModule` that shares memory with the model, and nothing else."""

from __future__ import annotations

import operator
import re
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.aten import FIRST_RESULT_ONLY
from resnet_diffeo_probe.units.graph.batch import BatchInt
from resnet_diffeo_probe.units.graph.normalize import Alias, normalize
from resnet_diffeo_probe.units.graph.tape import Tape
from resnet_diffeo_probe.units.graph.values import Call, Value, map_structure, spelling

__all__ = ["assemble", "build", "erase_unused"]


def assemble(
    graph: fx.Graph, tensors: dict[str, Any], name: str = "RebuiltNetwork", *, frozen: bool = False
) -> fx.GraphModule:
    """Make a module of a graph.

    Every tensor is wrapped anew: the memory is shared, the objects are not, so that converting or freezing
    the produced module leaves their owner's parameters alone.

    Args:
        graph: its `get_attr` and `call_module` targets are keys of `tensors`.
        tensors: by attribute name, tensors or modules.
        name: class name of the module.
        frozen: drop the parameters' `requires_grad`. Kept by default: torch picks other kernels, equal up
            to rounding, for parameters without gradients.

    Returns:
        The module, in eval mode.
    """
    wrapped: dict[int, Any] = {}
    root: dict[str, Any] = {}
    for key in {str(node.target) for node in graph.nodes if node.op in {"get_attr", "call_module"}}:
        original = tensors[key]
        if id(original) not in wrapped:
            if isinstance(original, nn.Parameter):
                wrapped[id(original)] = nn.Parameter(
                    original.detach(), requires_grad=original.requires_grad and not frozen
                )
            else:
                wrapped[id(original)] = original.detach() if isinstance(original, Tensor) else original
        root[key] = wrapped[id(original)]
    module = fx.GraphModule(root, graph, name)
    return module.eval()


def erase_unused(graph: fx.Graph) -> None:
    """Erase operations that nothing reads; also random ones, which torch's own elimination keeps."""
    for node in reversed(list(graph.nodes)):
        if node.op in {"call_function", "get_attr"} and not node.users:
            graph.erase_node(node)


def build(tape: Tape, model: nn.Module) -> fx.GraphModule:
    """Rebuild a module from its tape.

    Each node carries in `meta`: `shape` (with the taped batch), `next_shape` (with one more sample, or None),
    `dtype`, `data` (whether it depends on the input) and `owner` (the module that ran it); `read` where Python code
    read its numbers.

    Args:
        tape: of a forward pass of `model`.
        model: holds the parameters and buffers that the tape names.

    Returns:
        A functional module of one placeholder; its output has the structure of the model's.
    """
    return _Builder(tape, model).module()


class _Builder:
    def __init__(self, tape: Tape, model: nn.Module):
        self.graph = fx.Graph()
        self.tape = tape
        self.tensors: dict[str, Any] = {**dict(model.named_buffers()), **dict(model.named_parameters())}
        self.nodes: dict[int, Any] = {}
        self.input = self.graph.placeholder("x")
        self._describe(self.input, tape.input, "")
        self.nodes[id(tape.input)] = self.input
        self._leaves: dict[str, fx.Node] = {}

    def module(self) -> fx.GraphModule:
        for call in self.tape.calls:
            self._emit(call)
        self.graph.output(map_structure(self._argument, self.tape.output))
        self._mark_reads()
        erase_unused(self.graph)
        self.graph.lint()
        return assemble(self.graph, self.tensors)

    def _mark_reads(self) -> None:
        """Mark what Python code read numbers of; where the output does not need it, what it was computed from."""
        needed: set[fx.Node] = set()
        for node in reversed(list(self.graph.nodes)):
            if node.op == "output" or node in needed:
                needed.update(node.all_input_nodes)
        read = [node for value in self.tape.read if isinstance(node := self.nodes.get(id(value)), fx.Node)]
        seen: set[fx.Node] = set()
        while read:
            node = read.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in needed or node.op == "placeholder":
                node.meta["read"] = True
            else:
                read.extend(node.all_input_nodes)

    def _emit(self, call: Call) -> None:
        args = map_structure(self._argument, call.args)
        kwargs = map_structure(self._argument, call.kwargs)
        first = call.results[0][1]
        spelled = normalize(call.function, args, kwargs, writes=call.writes, shape=self._shape(first))
        if isinstance(spelled, Alias):
            for _, value in call.results:
                self.nodes[id(value)] = spelled.value
            return
        node = self.graph.call_function(spelled.target, spelled.args, spelled.kwargs)
        only_first = spelling(call.function) in FIRST_RESULT_ONLY
        if call.results[0][0] != () and not only_first:
            node.meta = {
                "shape": None,
                "next_shape": None,
                "dtype": None,
                "owner": call.owner,
                "data": first.data,
            }
        for path, value in call.results:
            if only_first and path not in {(), (0,)}:
                continue
            result = node
            for step in () if only_first else path:
                result = self.graph.call_function(operator.getitem, (result, step))
                self._describe(result, value, call.owner)
            self._describe(result, value, call.owner)
            if call.writes and self._promotes(spelled.args, value):
                result = self.graph.call_function(torch.Tensor.to, (result, value.dtype))
                self._describe(result, value, call.owner)
            self.nodes[id(value)] = result

    @staticmethod
    def _promotes(args: tuple[Any, ...], value: Value) -> bool:
        """Say whether the functional twin of an in-place operation might return another dtype."""
        dtypes = [arg.meta["dtype"] for arg in args if isinstance(arg, fx.Node)]
        return any(dtype != value.dtype for dtype in dtypes)

    def _shape(self, value: Value) -> tuple[Any, ...]:
        """Return the shape of a value for `reshape`: its dimension that counts samples becomes -1."""
        if value.next_shape is None:
            return value.shape
        pairs = list(zip(value.shape, value.next_shape, strict=True))
        growing = [position for position, (now, then) in enumerate(pairs) if now != then]
        if len(growing) == 1 and 0 not in value.shape:
            return tuple(-1 if position in growing else now for position, (now, _) in enumerate(pairs))
        batch = self.tape.input.shape[0]
        return tuple(
            now if now == then else self._argument(BatchInt(then - now, now - (then - now) * batch, now))
            for now, then in pairs
        )

    def _argument(self, item: Any) -> Any:
        if isinstance(item, Value):
            known = self.nodes.get(id(item))
            return known if known is not None else self._leaf(item)
        if isinstance(item, BatchInt):
            node = self.graph.call_function(functional.batch_size, (self.input, item.per_sample, item.extra))
            node.meta = {"shape": None, "next_shape": None, "dtype": None, "owner": "", "data": False}
            return node
        return item

    def _leaf(self, value: Value) -> fx.Node:
        if isinstance(value.leaf, Tensor):
            name = f"constant_{len(self.tensors)}"
            self.tensors[name] = value.leaf.detach().clone()
        else:
            name = self._spoken(str(value.leaf))
        if name not in self._leaves:
            self._leaves[name] = self.graph.get_attr(name)
            self._describe(self._leaves[name], value, "")
        self.nodes[id(value)] = self._leaves[name]
        return self._leaves[name]

    def _spoken(self, name: str) -> str:
        """Return a tensor's name as it may stand in generated code: modules may be called anything, quotes included."""
        plain = re.sub(r"[^\w.#:/-]", "_", name)
        if plain != name:
            plain = f"{plain}_{list(self.tensors).index(name)}"
            self.tensors[plain] = self.tensors[name]
        return plain

    @staticmethod
    def _describe(node: fx.Node, value: Value, owner: str) -> None:
        node.meta = {
            "shape": value.shape,
            "next_shape": value.next_shape,
            "dtype": value.dtype,
            "data": value.data,
            "owner": owner,
        }
