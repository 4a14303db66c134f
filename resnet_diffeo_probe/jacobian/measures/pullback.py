"""The metric that the network pulls back to its pixels: the Jacobian of every unit's output, depth by depth.

Hauser and Ray, Principles of Riemannian geometry in neural networks (NeurIPS 2017), section 3: the metric of a layer,
pulled back to the input, is JᵀJ. Tangent vectors, one for each pixel, are pushed from one unit's output to the next, so
that every layer is passed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.jacobian.estimators.linear_map import function_map
from resnet_diffeo_probe.jacobian.measures.rectangular import findings_of_matrix

__all__ = ["Depth", "Passage", "passages", "pullback", "pushed_tangents"]


class TappedUnit(Protocol):
    """What this room needs of a residual unit; `units.ResidualUnit` is one."""

    @property
    def name(self) -> str:
        """Its name in the network."""

    @property
    def tap_name(self) -> str:
        """Its taps are `taps.<tap_name>.output` and so on."""


class UnitsOfNetwork(Protocol):
    """What this room needs of a network; `units.Discovery` is one."""

    @property
    def units(self) -> Sequence[TappedUnit]:
        """In execution order."""

    @property
    def batch_is_free(self) -> bool:
        """Whether it takes other batch sizes than the example's."""

    def with_taps(self) -> fx.GraphModule:
        """The network with an identity module at every unit's output."""


@dataclass(frozen=True)
class Passage:
    """The part of a network from an earlier unit's output, or the pixels, to a unit's output.

    Attributes:
        unit: name of the unit at whose output it ends.
        start: name of the unit at whose output it starts; None for the network's input.
        map: (B, *in_shape) -> (B, *out_shape).
    """

    unit: str
    start: str | None
    map: fx.GraphModule


@dataclass(frozen=True)
class Depth:
    """The pulled-back metric at one unit's output.

    Attributes:
        unit: name of the unit.
        outputs: coordinates of its output, the rows of J.
        directions: tangent vectors at the input, the columns of J.
        findings: `rank`, `half_logdet` (½ log det JᵀJ), `sigma_min`, `sigma_max`.
    """

    unit: str
    outputs: int
    directions: int
    findings: dict[str, Finding]


def pullback(
    network: UnitsOfNetwork,
    x: Tensor,
    *,
    directions: Tensor | None = None,
    batch: int = 64,
    max_bytes: float | None = None,
) -> list[Depth]:
    """Measure the Jacobian of every unit's output with respect to the pixels at one image.

    Args:
        network: as `units.discover` returns it, in the dtype to compute in (float64 is meant).
        x: (1, *shape) the image.
        directions: (p, *shape) tangent vectors at the image, orthonormal for the metric on their span; None for every
            pixel.
        batch: tangent vectors pushed at once.
        max_bytes: memory allowed for the Jacobians kept at a time.

    Returns:
        One entry for each unit, in execution order.

    Raises:
        ConfigurationError: the Jacobians would take more memory than allowed.
        ValueError: x is not one image.
    """
    eps = float(torch.finfo(x.dtype).eps)
    return [
        Depth(name, columns.shape[1], columns.shape[0], findings_of_matrix(columns, eps=eps))
        for name, columns in pushed_tangents(
            network, x, directions=directions, batch=batch, max_bytes=max_bytes
        )
    ]


def pushed_tangents(
    network: UnitsOfNetwork,
    x: Tensor,
    *,
    directions: Tensor | None = None,
    batch: int = 64,
    max_bytes: float | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield (unit, (p, outputs)) for each unit: the images of p tangent vectors, the columns of J, as rows.

    Args, Raises: as `pullback`.
    """
    if x.shape[0] != 1:
        raise ValueError(f"the metric is measured at one image, not at {x.shape[0]}")
    if directions is None:
        directions = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
    found = passages(network)
    last_use = {passage.start: index for index, passage in enumerate(found)}
    points: dict[str | None, Tensor] = {None: x.detach()}
    tangents: dict[str | None, Tensor] = {None: directions.reshape(len(directions), -1).double()}
    if not network.batch_is_free:
        batch = 1
    for index, passage in enumerate(found):
        start = points[passage.start]
        with torch.no_grad():
            output = passage.map(start)
        _check_memory(len(directions), output.numel(), tangents, max_bytes)
        J = function_map(passage.map, start, batch=min(batch, len(directions)))
        columns = J.apply(tangents[passage.start])
        points[passage.unit], tangents[passage.unit] = output, columns
        yield passage.unit, columns
        for name in [name for name in points if last_use.get(name, -1) <= index]:
            del points[name], tangents[name]


def passages(network: UnitsOfNetwork) -> list[Passage]:
    """Cut a network at its units' outputs.

    Every unit's output is a function of the last earlier output through which all its data passes, or of the pixels:
    where units stand side by side, the way back is longer.

    Args:
        network: as `units.discover` returns it.
    """
    tapped = network.with_taps()
    nodes = {str(node.target): node for node in tapped.graph.nodes if node.op == "call_module"}
    entry = next(node for node in tapped.graph.nodes if node.op == "placeholder")
    anchors: list[tuple[str | None, fx.Node]] = [(None, entry)]
    found = []
    for unit in network.units:
        end = nodes[f"taps.{unit.tap_name}.output"]
        for name, start in reversed(anchors):
            region = _region(start, end, entry)
            if region is not None:
                found.append(Passage(unit.name, name, _cut(tapped, start, end, region, entry)))
                break
        anchors.append((unit.name, end))
    return found


def _region(start: fx.Node, end: fx.Node, entry: fx.Node) -> set[fx.Node] | None:
    """Return what computes `end` from `start`, constants included; None where data passes beside `start`."""
    region: set[fx.Node] = set()
    pending = [end]
    while pending:
        node = pending.pop()
        if node is start or node in region:
            continue
        if node is entry:
            return None
        region.add(node)
        # an operation that reads the batch size only takes no data of the network's input
        is_size = (
            node.op == "call_function" and not node.meta.get("data", True) and entry in node.all_input_nodes
        )
        pending.extend(operand for operand in node.all_input_nodes if not (is_size and operand is entry))
    return region


def _cut(
    tapped: fx.GraphModule, start: fx.Node, end: fx.Node, region: set[fx.Node], entry: fx.Node
) -> fx.GraphModule:
    """Copy a region into a module of one placeholder; batch sizes are read off that."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    copies = {entry: x, start: x}
    for node in tapped.graph.nodes:
        if node in region:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    return fx.GraphModule(tapped, graph, "Passage")


def _check_memory(count: int, outputs: int, kept: dict[str | None, Tensor], max_bytes: float | None) -> None:
    # the new columns, and a copy while they are put together and factorised
    needed = 16 * count * outputs + sum(tangent.numel() * 8 for tangent in kept.values())
    if max_bytes is not None and needed > max_bytes:
        raise ConfigurationError(
            f"The pulled-back metric of {count} directions needs {needed / 2**30:.1f} GiB.",
            why=f"{max_bytes / 2**30:.1f} GiB are allowed",
            fix="allow more memory, or give fewer directions (an orthonormal basis of a subspace of the pixels)",
            code="memory",
        )
