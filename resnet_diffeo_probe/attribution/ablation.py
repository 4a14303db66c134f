"""Each branch set to zero in turn: what the network answers without it, the check of what was attributed to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.attribution.network import TappedNetwork

__all__ = ["Ablation", "ablations"]


@dataclass(frozen=True, slots=True)
class Ablation:
    """What becomes of one input's prediction without one branch.

    Attributes:
        unit: its name.
        logit_drop: logit of the class predicted before, with the branch minus without; None where it is not finite.
        probability: of that class without the branch, by softmax; None likewise.
        predicted: the class predicted without the branch; None likewise.
    """

    unit: str
    logit_drop: float | None
    probability: float | None
    predicted: int | None


def ablations(network: TappedNetwork, x: Tensor) -> Iterator[tuple[Ablation, ...]]:
    """Run the network once without each branch.

    Args:
        network: the network.
        x: (batch, *shape) inputs.

    Yields:
        For each unit in order, what becomes of each input's prediction.
    """
    with torch.no_grad():
        before = network(x)
        target = before.argmax(dim=1, keepdim=True)
        for unit in network.units:
            with network.without(unit):
                after = network(x)
            drops = (before - after).gather(1, target)[:, 0]
            probabilities = after.double().softmax(dim=1).gather(1, target)[:, 0]
            finite = torch.isfinite(after).all(dim=1) & torch.isfinite(drops)
            yield tuple(
                Ablation(unit.name, float(drop), float(probability), int(predicted))
                if known
                else Ablation(unit.name, None, None, None)
                for drop, probability, predicted, known in zip(
                    drops, probabilities, after.argmax(dim=1), finite, strict=True
                )
            )
