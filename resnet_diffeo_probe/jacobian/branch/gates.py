"""Regions of a branch where an image is scaled, shifted or gated by numbers gathered from all of it.

Squeeze-and-excitation, ECA, global response norms: between two points of the branch through which all data passes,
full-size tensors meet small ones pixel by pixel. With the small ones held, the region acts on every coordinate alone;
what moves with them has low rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.activations import activation, is_pointwise
from resnet_diffeo_probe.jacobian.branch.stages import LowRankTerm, StageDerivative

__all__ = ["GateStage", "read_gates"]

# Operations that act on every coordinate alone once all tensors have the full shape.
_POINTWISE = frozenset(
    {
        "mul",
        "multiply",
        "add",
        "sub",
        "div",
        "true_divide",
        "addcmul",
        "neg",
        "expand_as",
        "expand",
        "pow",
        "square",
    }
)


@dataclass(frozen=True, eq=False)
class GateStage:
    """A region from one full-size tensor to another of the same shape.

    Attributes:
        nodes: of the region, in order; the last one is its output.
        entry: the node of its input.
        small: nodes whose value is small (few numbers for the whole image).
        sources: for each small node that meets full-size ones, the narrowest small node that it depends on alone.
        constants: values of parameter nodes.
        to_raw: (1, C, *spatial) -> the layout that the nodes work in.
        to_canonical: back.
    """

    nodes: tuple[fx.Node, ...]
    entry: fx.Node
    small: frozenset[fx.Node]
    sources: Mapping[fx.Node, fx.Node]
    constants: Mapping[fx.Node, Any]
    to_raw: Callable[[Tensor], Tensor]
    to_canonical: Callable[[Tensor], Tensor]
    name = "gate"
    piecewise_linear = False
    per_pixel = False
    gathers = True

    def on_kink(self, h: Tensor) -> Tensor:
        """Kinks inside the region are counted where it is differentiated."""
        return torch.zeros_like(h, dtype=torch.bool)

    def at(self, h: Tensor) -> StageDerivative:
        """Return output, diagonal and terms at h, (1, C, *spatial), attached to a graph of differentiation."""
        values: dict[fx.Node, Any] = {self.entry: self.to_raw(h)}
        for node in self.nodes:
            values[node] = self._call(node, values)
        raw_shape = values[self.entry].shape
        leaves: dict[fx.Node, Tensor] = {
            node: values[node].detach().expand(raw_shape).clone().requires_grad_() for node in self.sources
        }
        entry = values[self.entry].detach().requires_grad_()
        with torch.enable_grad():
            local: dict[fx.Node, Any] = {self.entry: entry, **leaves}
            for node in self.nodes:
                if node not in self.small:
                    local[node] = self._call(node, local)
            total = local[self.nodes[-1]].sum()
            gradients = torch.autograd.grad(total, [entry, *leaves.values()], materialize_grads=True)
        terms = [
            self._term(values, gate, gradient)
            for gate, gradient in zip(leaves, gradients[1:], strict=True)
            if values[self.sources[gate]].requires_grad
        ]
        return StageDerivative(
            self.to_canonical(values[self.nodes[-1]]),
            self.to_canonical(gradients[0]),
            tuple(terms),
            self._kinked(values),
        )

    def _term(self, values: Mapping[fx.Node, Any], gate: fx.Node, elementwise: Tensor) -> LowRankTerm:
        """Return the term of one gate: the derivative by the gate, times the gate's derivative by its source."""
        source = self.sources[gate]
        value, z = values[gate], values[source]
        index = torch.arange(value.numel(), device=z.device).reshape(value.shape).expand(elementwise.shape)
        if gate is source:
            inner = torch.eye(z.numel(), dtype=z.dtype, device=z.device)
        else:
            rows = [
                torch.autograd.grad(component, z, retain_graph=True)[0] for component in value.reshape(-1)
            ]
            inner = torch.stack(rows).reshape(value.numel(), z.numel())
        columns = [self.to_canonical(elementwise * column[index])[0] for column in inner.unbind(1)]
        return LowRankTerm(z.reshape(-1), torch.stack(columns).detach())

    def _call(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        def look_up(argument: fx.Node) -> Any:
            return self.constants[argument] if argument in self.constants else values[argument]

        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        return target(*fx.node.map_arg(node.args, look_up), **fx.node.map_arg(node.kwargs, look_up))

    def _constant(self, node: fx.Node) -> Any:
        # what moves with the input is no argument that anything is known for
        return self.constants.get(node, node)

    def _kinked(self, values: Mapping[fx.Node, Any]) -> int:
        total = 0
        for node in self.nodes:
            operand = node.args[0] if node.args else None
            if isinstance(operand, fx.Node) and operand in values:
                rest, named = fx.node.map_arg((node.args[1:], dict(node.kwargs)), self._constant)
                found = activation(node.target, tuple(rest), named)  # type: ignore[arg-type]
                if found is not None:
                    total += int(found.on_kink(values[operand].detach()).sum())
        return total


def read_gates(
    entry: fx.Node,
    nodes: Sequence[fx.Node],
    shapes: Mapping[fx.Node, tuple[int, ...]],
    constants: Mapping[fx.Node, Any],
    *,
    to_raw: Callable[[Tensor], Tensor],
    to_canonical: Callable[[Tensor], Tensor],
) -> GateStage:
    """Read the region from `entry` to the last of `nodes`.

    Args:
        entry: the node that all data of the region comes from.
        nodes: the region's data nodes in order.
        shapes: raw shape of each data node for a batch of one, `entry` included.
        constants: values of parameter nodes.
        to_raw: canonical to raw layout.
        to_canonical: raw to canonical layout.

    Raises:
        UnsupportedUnitError: a full-size tensor goes through something that mixes coordinates, or a tensor is neither
            full-size nor small.
    """
    full_shape = shapes[entry]
    small: set[fx.Node] = set()
    for node in nodes:
        operands = [n for n in node.all_input_nodes if n not in constants]
        target = str(getattr(node.target, "__name__", node.target))
        if shapes[node] == full_shape and (
            any(n not in small for n in operands) or target.startswith("expand")
        ):
            pointwise = target in _POINTWISE or is_pointwise(node.target)  # type: ignore[arg-type]
            if not pointwise:
                raise UnsupportedUnitError(
                    f"the branch splits and joins again around '{target}' ({node.name}), which mixes coordinates"
                )
        elif _is_small(shapes[node], full_shape):
            small.add(node)
        else:
            raise UnsupportedUnitError(
                f"the branch splits, and '{target}' ({node.name}) has shape {shapes[node][1:]}: neither that of the "
                f"image {full_shape[1:]} nor a few numbers"
            )
    if nodes[-1] in small:
        raise UnsupportedUnitError(f"the branch narrows to a few numbers at '{nodes[-1].name}'")
    gates = [n for n in nodes if n in small and any(user in nodes and user not in small for user in n.users)]
    sources = {gate: _narrowest_source(gate, entry, small, shapes, constants) for gate in gates}
    return GateStage(tuple(nodes), entry, frozenset(small), sources, constants, to_raw, to_canonical)


def _is_small(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    count, pixels = 1, 1
    for size in shape:
        count *= size
    for size in full:
        pixels *= size
    return count < pixels and count <= max(full[1:]) * 16


def _narrowest_source(
    gate: fx.Node,
    entry: fx.Node,
    small: set[fx.Node],
    shapes: Mapping[fx.Node, tuple[int, ...]],
    constants: Mapping[fx.Node, Any],
) -> fx.Node:
    """Walk back from a gate while each small node depends on one small node alone; return the narrowest met."""
    best, node = gate, gate

    def count(n: fx.Node) -> int:
        total = 1
        for size in shapes[n]:
            total *= size
        return total

    while True:
        operands = [n for n in node.all_input_nodes if n not in constants]
        if len(operands) != 1 or operands[0] not in small:
            return best
        node = operands[0]
        if count(node) < count(best):
            best = node
