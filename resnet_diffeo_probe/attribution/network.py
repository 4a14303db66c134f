"""A classifier with taps that one pass of captum reads together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.units import Discovery, ResidualUnit

__all__ = ["NotAttributableError", "TappedNetwork"]

_READ = ("input", "branch", "sum")
# Memory for what is held of all points that are run at a time: some six copies of the values of the taps.
_CHUNK_BYTES = 2**30
_COPIES = 6


class NotAttributableError(DiffeoProbeError):
    """A network, or a quantity of it, that cannot be attributed; the reason is `what`."""

    code = "not-attributable"


class _Gathered(nn.Module):
    """Where all taps meet: captum reads a layer, and this is one whose output is every tap's value."""

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return values


class TappedNetwork(nn.Module):
    """A network's logits as a function of its input, its taps readable at once or replaced one by one.

    The taps' values pass through `gathered`, a layer whose output is (branch, sum) of each unit in `used`, in order.
    They are the very tensors that the network goes on with, so gradients of a logit by them are what the network has.

    Args:
        discovery: the network; a copy of its graph is tapped, which shares the memory of the weights.

    Attributes:
        units: its units.
        used: those that the logits depend on.
        gathered: the layer to give to captum.

    Raises:
        NotAttributableError: the network takes one batch size only.
    """

    def __init__(self, discovery: Discovery) -> None:
        super().__init__()
        if not discovery.batch_is_free:
            raise NotAttributableError(
                "the network takes batches of one size only, and attribution runs many points at a time",
                fix="export it with a dynamic batch dimension",
            )
        self.units: tuple[ResidualUnit, ...] = discovery.units
        self.gathered = _Gathered()
        self._network = discovery.with_taps()
        needed = _needed(self._network)
        self.used = tuple(unit for unit in self.units if f"taps.{unit.tap_name}.branch" in needed)
        self._values: dict[tuple[str, str], Tensor] = {}
        for unit in self.units:
            for place in _READ:
                self._tap(unit, place).register_forward_hook(self._keep(unit.name, place))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (batch, classes) for x of (batch, *shape).

        Raises:
            NotAttributableError: the output holds no logits of two classes or more.
        """
        try:
            logits = _logits(self._network(x), x.shape[0])
            self.gathered(
                *(self._values[unit.name, place] for unit in self.used for place in ("branch", "sum"))
            )
        finally:
            self._values.clear()
        return logits

    def value(self, x: Tensor, unit: ResidualUnit, place: str) -> Tensor:
        """Return what is at a tap, differentiable by x.

        Args:
            x: (batch, *shape) the network's input.
            unit: one of `units`.
            place: `"input"`, `"branch"` or `"sum"`.

        Returns:
            (batch, *input_shape) at the input, (batch, *output_shape) elsewhere.
        """
        try:
            self._network(x)
            return self._values[unit.name, place]
        finally:
            self._values.clear()

    def points_at_once(self, x: Tensor) -> int:
        """Return how many inputs may be differentiated at a time, from 3 to 64.

        captum's conductance takes differences of neighbours on a line, and computes the ends of a chunk twice.

        Args:
            x: (batch, *shape) an input, for its dtype.
        """
        coordinates = 2 * sum(math.prod(unit.output_shape) for unit in self.units)
        held = _COPIES * max(1, coordinates) * x.element_size()
        return max(3, min(64, _CHUNK_BYTES // held))

    @contextmanager
    def without(self, unit: ResidualUnit) -> Iterator[None]:
        """Set a unit's branch to zero in the block: the unit is then its shortcut."""

        def zero(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return torch.zeros_like(output)

        handle = self._tap(unit, "branch").register_forward_hook(zero)
        try:
            yield
        finally:
            handle.remove()

    def _tap(self, unit: ResidualUnit, place: str) -> nn.Module:
        return self._network.get_submodule(f"taps.{unit.tap_name}.{place}")

    def _keep(self, name: str, place: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._values[name, place] = output

        return hook


def _logits(output: Any, batch: int) -> Tensor:
    """Find the logits in a network's output, in plain containers."""
    output = _entry(output)
    if not isinstance(output, Tensor) or output.dim() != 2 or output.shape[0] != batch:
        raise NotAttributableError("the network's output is no table of logits, one row an input")
    if not output.dtype.is_floating_point:
        raise NotAttributableError(f"the network's output is {output.dtype}, which has no gradient")
    if output.shape[1] < 2:
        raise NotAttributableError("the network has one output: there is no class to predict among others")
    return output


def _entry(output: Any) -> Any:
    """Return the entry of an output that may be its logits."""
    if isinstance(output, dict):
        return output.get("logits")
    return output[0] if isinstance(output, (tuple, list)) and output else output


def _needed(network: fx.GraphModule) -> set[str]:
    """Return the targets of all nodes that the logits depend on."""
    output = next(node for node in reversed(network.graph.nodes) if node.op == "output")
    entry = _entry(output.args[0])
    seen: set[fx.Node] = set()
    waiting = [entry] if isinstance(entry, fx.Node) else []
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += node.all_input_nodes
    return {str(node.target) for node in seen}
