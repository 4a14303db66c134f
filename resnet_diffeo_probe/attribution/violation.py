"""Which pixels a unit's clipping comes from: captum's integrated gradients of the clipped energy.

The clipped energy of a unit at an input is E = ‖min(g, 0)‖², what the ReLU after the addition takes away from the sum
g; for another activation with constant ends, the squared distance of g from the interval between them. Integrated
gradients (Sundararajan, Taly, Yan, 'Axiomatic Attribution for Deep Networks', ICML 2017) split
E(x) − E(x′) among the pixels. The square makes the clipping itself smooth; the gradient still jumps at the kinks of the
network before the unit, so the error, which captum calls the convergence delta, falls slowly with the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from resnet_diffeo_probe.attribution.network import NotAttributableError, TappedNetwork
from resnet_diffeo_probe.units import ResidualUnit

__all__ = ["PixelMap", "clipped_energy", "clipped_energy_map"]


@dataclass(frozen=True, slots=True, eq=False)
class PixelMap:
    """A number of a unit, attributed to the network's input.

    Attributes:
        unit: its name.
        of: what is attributed.
        values: (*shape) of the input, without batch.
        value: the number at the input.
        baseline_value: at the baseline; None for a gradient, which has no baseline.
        completeness_error: sum of `values` minus the difference of the two, captum's convergence delta; None likewise.
    """

    unit: str
    of: Literal["clipped_energy", "log_sigma_min", "narrow_direction"]
    values: Tensor
    value: float
    baseline_value: float | None = None
    completeness_error: float | None = None


def clipped_energy(network: TappedNetwork, unit: ResidualUnit) -> Callable[[Tensor], Tensor]:
    """Return x -> ‖g − clip(g)‖² of a unit, (batch, *shape) -> (batch,).

    Args:
        network: the network.
        unit: one of its units.

    Raises:
        NotAttributableError: nothing clips after the unit's addition.
    """
    record = unit.activation_record
    if record is None or record.unclipped is None:
        what = "no activation follows" if record is None else f"{record.name} follows"
        known = record is None or record.known
        why = "which clips no coordinate" if known else "of which nothing is known"
        raise NotAttributableError(f"{what} the addition, {why}")
    low, high = record.unclipped

    def energy(x: Tensor) -> Tensor:
        total = network.value(x, unit, "sum")
        return (total - total.clamp(low, high)).square().flatten(1).sum(1)

    return energy


def clipped_energy_map(
    network: TappedNetwork, unit: ResidualUnit, x: Tensor, baseline: Tensor, *, steps: int = 64
) -> PixelMap:
    """Attribute a unit's clipped energy to the pixels.

    Args:
        network: the network.
        unit: one of its units.
        x: (1, *shape) an input.
        baseline: (1, *shape) where the line to it starts.
        steps: points of the Gauss-Legendre rule on the line.

    Raises:
        NotAttributableError: nothing clips, or an energy is not finite.
    """
    energy = clipped_energy(network, unit)
    with torch.no_grad():
        value, start = energy(torch.cat([x, baseline])).tolist()
    if not (abs(value) < float("inf") and abs(start) < float("inf")):
        raise NotAttributableError("the clipped energy at the input or the baseline is not finite")
    # captum switches `requires_grad` on: on a tensor of its own
    values, delta = IntegratedGradients(energy).attribute(
        x.detach().clone().requires_grad_(),
        baseline,
        n_steps=steps,
        internal_batch_size=network.points_at_once(x),
        return_convergence_delta=True,
    )
    return PixelMap(unit.name, "clipped_energy", values[0].detach(), value, start, float(delta))
