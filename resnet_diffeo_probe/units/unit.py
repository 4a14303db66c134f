"""A residual unit `x -> a(s(x) + F(x))` cut out of a network."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.activations import Activation
from resnet_diffeo_probe.units.applied import activation_name, applied
from resnet_diffeo_probe.units.recognition.rules import RecognizedUnit
from resnet_diffeo_probe.units.recognition.terms import Term
from resnet_diffeo_probe.units.subgraph import Cutter

__all__ = ["ResidualUnit", "Shortcut", "UnitActivations", "cut_unit"]

Shortcut = Literal["identity", "projection", "padding", "pooling"]


@dataclass(frozen=True)
class UnitActivations:
    """What went through one unit for one batch.

    Attributes:
        input: the unit's input x, (batch, *input_shape).
        branch: F(x), with its sign and scale, (batch, *output_shape).
        sum: g(x) = s(x) + F(x).
        output: a(g(x)); the sum itself if there is no activation after the addition.
    """

    input: Tensor
    branch: Tensor
    sum: Tensor
    output: Tensor


@dataclass(frozen=True, eq=False)
class ResidualUnit:
    """A residual unit: shortcut s, branch F, sum map g = s + F, activation a.

    The maps are flat functional graphs of one placeholder, batch first: `get_attr` nodes (tensors, by the
    names they have in the network; `folded_...` for what depends on parameters alone) and `call_function`
    nodes in the vocabulary of `normalize`. `node.meta["shape"]` is each value's shape with the batch that
    was taped.

    Attributes:
        name: path of the module that owns the addition; `#2`, `#3` when it adds, or is applied, more than
            once.
        index: position among the network's units.
        shortcut: `identity`, `projection`, `padding` or `pooling`.
        activation: name of the activation after the addition, e.g. `"relu"`, or None.
        input_shape: shape of x without batch.
        output_shape: shape of the sum without batch.
        branch: x -> F(x), the sign of a subtraction and factors included.
        shortcut_map: x -> s(x).
        activation_map: g -> a(g), or None.
        chooses_path: whether Python code read numbers on the way from x to g, on which the operations that it calls
            may depend: these maps are those of the path that the example took.
    """

    name: str
    index: int
    shortcut: Shortcut
    activation: str | None
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    branch: fx.GraphModule = field(repr=False)
    shortcut_map: fx.GraphModule = field(repr=False)
    activation_map: fx.GraphModule | None = field(repr=False)
    chooses_path: bool = False

    @property
    def dimension(self) -> int:
        """The number of coordinates of the input of one sample."""
        return math.prod(self.input_shape)

    @property
    def preserves_dimension(self) -> bool:
        """Whether the shortcut is the identity, so that g = id + F is a map of a space into itself."""
        return self.shortcut == "identity" and self.input_shape == self.output_shape

    @property
    def activation_record(self) -> Activation | None:
        """What is known of the activation after the addition with its arguments; None where there is no activation."""
        if self.activation is None:
            return None
        return applied(self.activation_map, self.activation)

    @property
    def tap_name(self) -> str:
        """The unit's name with dots replaced: its taps are `taps.<tap_name>.input` and so on."""
        plain = re.sub(r"[^\w#:/-]", "_", self.name)
        # other characters than a path's would be code in the generated module; the index keeps such names apart
        return plain if plain == self.name.replace(".", "_") else f"{plain}_{self.index}"

    def sum_map(self, x: Tensor) -> Tensor:
        """Return g(x) = s(x) + F(x), (batch, *output_shape), for x of (batch, *input_shape)."""
        return torch.add(self.shortcut_map(x), self.branch(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return a(g(x)), (batch, *output_shape), for x of (batch, *input_shape)."""
        total = self.sum_map(x)
        return total if self.activation_map is None else self.activation_map(total)

    __call__ = forward


def cut_unit(plan: RecognizedUnit, index: int, graph: fx.Graph, cutter: Cutter) -> ResidualUnit:
    """Cut a planned unit out of its graph.

    Args:
        plan: of the unit.
        index: its position in execution order.
        graph: the rebuilt network's.
        cutter: of the same graph.

    Returns:
        The unit.

    Raises:
        ValueError: the unit's input has no batch dimension in front.
    """
    nodes = {node.name: node for node in graph.nodes}
    start, total = nodes[plan.input], nodes[plan.sum]
    batch = next(node for node in graph.nodes if node.op == "placeholder").meta["shape"][0]
    for node in (start, total):
        _require_batch_first(node, batch)
    activation = None
    activation_map = None
    if plan.activation is not None:
        activation_map = cutter.cut(plan.sum, [Term(plan.activation)], "Activation")
        activation = activation_name(activation_map)
    kind: Shortcut = plan.kind  # type: ignore[assignment]
    return ResidualUnit(
        name=plan.name,
        index=index,
        shortcut=kind,
        activation=activation,
        input_shape=tuple(start.meta["shape"][1:]),
        output_shape=tuple(total.meta["shape"][1:]),
        branch=cutter.cut(plan.input, plan.branch, "Branch"),
        shortcut_map=cutter.cut(plan.input, [plan.shortcut], "Shortcut"),
        activation_map=activation_map,
        chooses_path=_is_read_between(graph, start, total),
    )


def _is_read_between(graph: fx.Graph, start: fx.Node, total: fx.Node) -> bool:
    """Say whether Python code read numbers of x, or of what is computed from it before the sum is there."""
    reached = {start}
    for node in graph.nodes:
        if node is total:
            break
        if node in reached or any(operand in reached for operand in node.all_input_nodes):
            reached.add(node)
            if node.meta.get("read"):
                return True
    return False


def _require_batch_first(node: fx.Node, batch: int) -> None:
    now, then = node.meta["shape"], node.meta["next_shape"]
    if then is None:  # the batch size was not taped freely: this much can be seen
        is_first = bool(now) and now[0] == batch
    else:
        is_first = [i for i, (a, b) in enumerate(zip(now, then, strict=True)) if a != b] == [0]
    if not is_first:
        raise ValueError("the first dimension of its input does not count samples")
