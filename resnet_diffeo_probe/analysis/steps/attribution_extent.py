"""At which inputs a prediction is attributed, and how finely, within the operations that a budget allows.

The cost is counted in floating-point operations of the network, not in seconds, so that the same analysis chooses the
same inputs on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.attribution import NotAttributableError, TappedNetwork
from resnet_diffeo_probe.inputs import Inputs

__all__ = ["Extent", "extent_of", "gradient_operations", "maps_allowed", "stratified"]

# Floating-point operations that conductance may take, and the maps as many again; inputs that it is computed at.
_OPERATIONS = {Budget.STANDARD: 4e12, Budget.FULL: 4e13}
_INPUTS = {Budget.STANDARD: 8, Budget.FULL: 16}
# Points on the line: rather fewer of them than fewer inputs than this, and never more than that.
_STEPS, _FEW_STEPS, _MOST_STEPS = 64, 32, 512
_WANTED_INPUTS = 5
# A gradient costs about three forward passes.
_PASSES = 3


@dataclass(frozen=True)
class Extent:
    """What is attributed.

    Attributes:
        inputs: their places in the batch.
        steps: of the line to each, to begin with.
        most_steps: to which they may be doubled.
    """

    inputs: tuple[int, ...]
    steps: int
    most_steps: int


def extent_of(network: TappedNetwork, batch: Inputs, budget: Budget) -> Extent:
    """Choose inputs and steps within the operations that the budget allows."""
    gradient = gradient_operations(network, batch.part(0, 1))
    allowed, most = _OPERATIONS[budget], min(_INPUTS[budget], len(batch))
    steps = _STEPS
    if allowed // (gradient * (steps + 1)) < min(_WANTED_INPUTS, most):
        steps = _FEW_STEPS
    count = min(most, int(allowed // (gradient * (steps + 1))))
    if count == 0 and budget is not Budget.FULL:
        needed = gradient * (steps + 1)
        raise NotAttributableError(
            f"one input takes {needed / 1e12:.0f} · 10¹² operations, {allowed / 1e12:.0f} are allowed: --budget full"
        )
    count = max(1, count)
    most_steps = steps
    # each doubling takes twice what was before it
    while 2 * most_steps <= _MOST_STEPS and count * gradient * 4 * most_steps <= allowed:
        most_steps *= 2
    return Extent(stratified(batch, count), steps, most_steps)


def gradient_operations(network: TappedNetwork, x: Tensor) -> int:
    """Return about how many floating-point operations a gradient at one input takes.

    Args:
        network: the network.
        x: (1, *shape) an input.
    """
    unit = network.units[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.value(x, unit, "input")  # runs all of the network, whatever its output is
    # operations that are not counted are no convolutions and no matrix products: at least once through the weights
    weights = sum(parameter.numel() for parameter in network.parameters())
    return _PASSES * max(counter.get_total_flops(), 2 * weights, 1)


def maps_allowed(network: TappedNetwork, x: Tensor, budget: Budget, steps: int) -> int:
    """Return how many integrated gradients of so many steps the budget allows; at least one.

    Args:
        network: the network.
        x: (1, *shape) an input.
        budget: of the analysis.
        steps: gradients that a map takes.
    """
    return max(1, int(_OPERATIONS[budget] // (gradient_operations(network, x) * steps)))


def stratified(batch: Inputs, count: int) -> tuple[int, ...]:
    """Return so many inputs: class by class in turn where there are labels, else evenly spaced."""
    total = len(batch)
    if batch.labels is None:
        return tuple(sorted({place * total // count for place in range(count)}))
    groups: dict[str, list[int]] = {}
    for index, label in enumerate(batch.labels):
        groups.setdefault(label, []).append(index)
    kept: list[int] = []
    for turn in range(count):
        members = [group[turn] for group in groups.values() if turn < len(group)]
        room = count - len(kept)
        # a turn that is cut short takes classes evenly spaced
        kept += members if len(members) <= room else [members[k * len(members) // room] for k in range(room)]
    return tuple(sorted(kept))
