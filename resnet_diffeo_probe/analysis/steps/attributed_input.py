"""The attribution at one input: its logit split at every unit, and what is left of it without each branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.result.finding_row import to_number
from resnet_diffeo_probe.analysis.steps.attribution_extent import Extent
from resnet_diffeo_probe.analysis.store.kept_steps import Content, KeptSteps, basis_of
from resnet_diffeo_probe.attribution import (
    Ablation,
    Conductance,
    NotAttributableError,
    PathAttribution,
    TappedNetwork,
    ablations,
    conductance,
)

__all__ = ["AttributedInput", "attributed_at"]

# Its name in the store.
_STEP, _ = step_names.ATTRIBUTION.kept


@dataclass(frozen=True)
class AttributedInput:
    """What was found at one input.

    Attributes:
        path: the split of the predicted class's logit.
        probability: of that class, by softmax.
        ablations: of every unit, in network order.
    """

    path: PathAttribution
    probability: float
    ablations: Sequence[Ablation]


def attributed_at(
    network: TappedNetwork, name: str, x: Tensor, baseline: Tensor, extent: Extent, kept: KeptSteps
) -> AttributedInput | str:
    """Attribute the prediction at an input, or find what an earlier run attributed.

    Args:
        network: the network.
        name: of the input.
        x: (1, *shape) the input.
        baseline: (1, *shape) where the line to it starts.
        extent: into how many steps that is divided.
        kept: where it is kept.

    Returns:
        What was found, or the reason why the prediction cannot be attributed.

    Raises:
        StoreError: what is kept cannot be read or written.
    """
    units = [unit.name for unit in network.units]
    about = {"units": units, "steps": extent.steps, "most_steps": extent.most_steps}
    basis = basis_of(input=x, baseline=baseline, captum=metadata.version("captum"), **about)
    known = kept.find(_STEP, name, basis, lambda content: _from_json(content.json, units))
    if known is not None:
        return known
    try:
        found: AttributedInput | str = _compute(network, x, baseline, extent)
    except NotAttributableError as error:
        found = error.what
    kept.keep(_STEP, name, basis, Content(_to_json(found)))
    return found


def _compute(network: TappedNetwork, x: Tensor, baseline: Tensor, extent: Extent) -> AttributedInput:
    with torch.no_grad():
        logits = network(x)[0]
    target = int(logits.argmax())
    path = conductance(network, x, baseline, target, steps=extent.steps, most_steps=extent.most_steps)
    if not all(abs(value) < float("inf") for unit in path.units for value in (unit.branch, unit.total)):
        raise NotAttributableError("a conductance is not finite")
    probability = float(logits.double().softmax(0)[target])
    return AttributedInput(path, probability, [of_unit for (of_unit,) in ablations(network, x)])


def _to_json(found: AttributedInput | str) -> dict[str, Any]:
    return {"reason": found} if isinstance(found, str) else asdict(found)


def _from_json(kept: Any, units: Sequence[str]) -> AttributedInput | str:
    """Return what `_to_json` was given.

    Raises:
        ValueError, TypeError, KeyError: it was not given this, or it speaks of other units.
    """
    if "reason" in kept:
        return str(kept["reason"])
    path = kept["path"]
    pieces = [path | {"units": None}, *path["units"], *kept["ablations"]]
    for value in (value for piece in pieces for key, value in piece.items() if key != "unit"):
        if value is not None:
            to_number(value)
    found = AttributedInput(
        PathAttribution(**path | {"units": tuple(Conductance(**unit) for unit in path["units"])}),
        to_number(kept["probability"]),
        [Ablation(**ablation) for ablation in kept["ablations"]],
    )
    if not [u.unit for u in found.path.units] == [a.unit for a in found.ablations] == units:
        raise ValueError("it speaks of other units")
    return found
