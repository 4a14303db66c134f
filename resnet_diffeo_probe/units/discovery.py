"""The residual units of a module: `discover(model, example)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.units.graph.rebuild import Rebuilt, agree, rebuild, unwrapped
from resnet_diffeo_probe.units.recognition.near_misses import BLIND_SPOTS
from resnet_diffeo_probe.units.recognition.rules import RecognizedUnit, RejectedSum, plan_units
from resnet_diffeo_probe.units.subgraph import Cutter
from resnet_diffeo_probe.units.taps import observed, record_taps, tapped
from resnet_diffeo_probe.units.transfer import transferred
from resnet_diffeo_probe.units.unit import ResidualUnit, UnitActivations, cut_unit

__all__ = ["Discovery", "discover"]


class Discovery:
    """A network as a functional graph, with its residual units.

    Args:
        rebuilt: the graph.
        plans: of its units.
        rejected: sums that are no units.

    Attributes:
        graph: the network in eval mode; one placeholder, output in plain containers (see `values.plain`).
            Shares the memory of the model's parameters.
        units: in execution order.
        rejected: sums, and operations resembling sums, that are not units, with the reason.
        batch_is_free: whether `graph` takes other batch sizes than the example's.
        exact: whether `graph` reproduced the model's output to the bit.
        notes: sentences on what the graph rests on.
        dispatched: whether the model was taped at the dispatcher.
    """

    def __init__(self, rebuilt: Rebuilt, plans: Sequence[RecognizedUnit], rejected: Sequence[RejectedSum]):
        self.graph: fx.GraphModule = rebuilt.graph
        self.batch_is_free = rebuilt.batch_is_free
        self.exact = rebuilt.exact
        self.notes = rebuilt.notes
        self.dispatched = rebuilt.dispatched
        self._rebuilt = rebuilt
        cutter = Cutter(self.graph)
        units: list[ResidualUnit] = []
        kept: list[RecognizedUnit] = []
        refused = list(rejected)
        for plan in plans:
            try:
                units.append(cut_unit(plan, len(units), self.graph.graph, cutter))
                kept.append(plan)
            except ValueError as reason:
                refused.append(RejectedSum(plan.name, str(reason)))
        self.units: tuple[ResidualUnit, ...] = tuple(units)
        self.rejected: tuple[RejectedSum, ...] = tuple(refused)
        self._plans = tuple(kept)

    def run(self, x: Tensor) -> tuple[Any, dict[str, UnitActivations]]:
        """Run the rebuilt network once.

        Args:
            x: a batch, (batch, ...).

        Returns:
            The network's output, and by unit name what went through the unit (detached clones).
        """
        return observed(self.graph, self._plans, x)

    def record(self, x: Tensor) -> dict[str, UnitActivations]:
        """Return the same activations as `run`, taken with plain forward hooks on the taps."""
        return record_taps(self.with_taps(), self.units, x)

    def with_taps(self) -> fx.GraphModule:
        """Return the network with an `nn.Identity` at every unit's input, branch, sum and output.

        The taps are the submodules `taps.<unit.tap_name>.{input,branch,sum,output}`: plain forward hooks
        and captum's layer methods work on them.
        """
        return tapped(self.graph, self._plans, self.units)

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Discovery:
        """Return an independent copy in another floating-point dtype or on another device.

        Args:
            dtype: for parameters, buffers and the dtypes that the network's own code names.
            device: likewise.

        Returns:
            A discovery that shares nothing with this one.
        """
        graph = transferred(self.graph, dtype=dtype, device=device)
        return Discovery(replace(self._rebuilt, graph=graph), self._plans, self.rejected)

    def explain_none(self) -> str:
        """Return a sentence on why no unit was found, with the nearest misses."""
        if not self.rejected:
            return (
                "No residual unit: the network adds no two tensors that both depend on its input "
                f"(not seen as additions: {BLIND_SPOTS})."
            )
        grouped: dict[str, list[str]] = {}
        for miss in self.rejected:
            grouped.setdefault(miss.reason, []).append(miss.name or "the network")
        shown = [
            f"{names[0]}: {reason}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
            for reason, names in grouped.items()
        ]
        return (
            f"No residual unit. Nearest misses: {'; '.join(shown)}. "
            f"Not taken apart: {BLIND_SPOTS}, torch.cat."
        )


def discover(model: nn.Module, example: Tensor) -> Discovery:
    """Find the residual units of a module.

    The module runs a few times in eval mode and is left exactly as it was. Every unit is checked on the
    example: its sum map and its output must reproduce what went through the network.

    Args:
        model: any module that takes one batch.
        example: (batch, *shape) with batch at least 1, on the module's device.

    Returns:
        The network's graph and units; `units` may be empty (see `Discovery.explain_none`).

    Raises:
        InputsError: the example is not a batch.
        RecordingError: the module's forward pass cannot be written down as a graph.
    """
    if not isinstance(example, Tensor) or example.dim() == 0 or example.shape[0] == 0:
        raise InputsError(
            "The example is not a batch.", why="it needs at least one sample in its first dimension"
        )
    network = unwrapped(model)
    rebuilt = rebuild(network, example.detach())
    plans, rejected = plan_units(rebuilt.graph.graph)
    found = Discovery(rebuilt, plans, rejected)
    failed = _unfaithful(found, example.detach())
    if not failed:
        return found
    kept = [plan for plan in found._plans if plan.name not in failed]
    refused = [RejectedSum(name, reason) for name, reason in failed.items()]
    return Discovery(rebuilt, kept, [*found.rejected, *refused])


def _unfaithful(found: Discovery, example: Tensor) -> dict[str, str]:
    """Return the units that do not reproduce their own activations, with the reason."""
    if not found.units or example.is_meta:
        return {}
    _, activations = found.run(example)
    failed = {}
    with torch.no_grad():
        for unit in found.units:
            seen = activations[unit.name]
            if not agree(seen.sum, unit.sum_map(seen.input)) or not agree(seen.output, unit(seen.input)):
                failed[unit.name] = "its sum map does not reproduce what went through the network"
            elif not _samples_are_independent(unit, seen.input, free=found.batch_is_free):
                failed[unit.name] = "its samples depend on each other (batch statistics?)"
    return failed


def _samples_are_independent(unit: ResidualUnit, x: Tensor, *, free: bool) -> bool:
    """Give a sample other company: a unit is a map of one sample, or it has no Jacobian of its own."""
    if not free:
        return agree(unit.sum_map(x), unit.sum_map(x.flip(0)).flip(0))
    return agree(unit.sum_map(x[:1]), unit.sum_map(torch.cat([x[:1], 2 * x[:1]]))[:1])
