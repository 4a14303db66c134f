"""How much of a logit passes through each branch: captum's layer conductance at all taps in one pass.

Conductance (Dhamdhere, Sundararajan, Yan, 'How important is a neuron?', ICLR 2019) splits f(x) − f(x′), the change of a
logit from a baseline x′ to x along the straight line between them, among the coordinates of a layer. At a unit's sum,
where everything passes, it is the whole change; of that the branch carries a part and the shortcut the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import LayerConductance
from torch import Tensor

from resnet_diffeo_probe.attribution.network import NotAttributableError, TappedNetwork

__all__ = ["Conductance", "PathAttribution", "conductance"]

# The doubling of the steps ends below this error, relative to the change of the logit, or where it helps no more.
_ENOUGH = 0.04
_HELPS = 0.9


@dataclass(frozen=True, slots=True)
class Conductance:
    """What passes through one unit, in units of the logit.

    Attributes:
        unit: its name.
        branch: the conductance of the branch, summed over its coordinates.
        total: of the sum; `total − branch` is the shortcut's.
        completeness_error: `total` minus the change of the logit, which captum calls the convergence delta. It
            goes to zero with more steps, unless paths lead around the unit.
    """

    unit: str
    branch: float
    total: float
    completeness_error: float


@dataclass(frozen=True, slots=True)
class PathAttribution:
    """One input's logit split at every unit.

    Attributes:
        target: the class.
        logit: f(x).
        baseline_logit: f(x′).
        steps: of the line from x′ to x.
        units: in network order.
    """

    target: int
    logit: float
    baseline_logit: float
    steps: int
    units: tuple[Conductance, ...]

    @property
    def difference(self) -> float:
        """f(x) − f(x′), what is split."""
        return self.logit - self.baseline_logit

    def share(self, unit: Conductance, *, limit: float) -> float | None:
        """Return the part of the difference that passes through a branch; it may be negative or above one.

        Args:
            unit: one of `units`.
            limit: None is returned where the completeness error is larger than this part of the difference.
        """
        if self.difference == 0 or abs(unit.completeness_error) > limit * abs(self.difference):
            return None
        return unit.branch / self.difference


def conductance(
    network: TappedNetwork,
    x: Tensor,
    baseline: Tensor,
    target: int,
    *,
    steps: int = 64,
    most_steps: int = 512,
) -> PathAttribution:
    """Split a logit's change from a baseline among branches and shortcuts, at every unit.

    The number of steps is doubled until the error of every unit is below 4 % of the change, or stops shrinking.

    Args:
        network: the network.
        x: (1, *shape) an input.
        baseline: (1, *shape) where the line to it starts.
        target: the class whose logit is split.
        steps: to begin with, at least 2.
        most_steps: to end with.

    Raises:
        NotAttributableError: a logit is not finite, or the network cannot be differentiated.
    """
    with torch.no_grad():
        ends = network(torch.cat([x, baseline]))[:, target]
    if not bool(torch.isfinite(ends).all()):
        raise NotAttributableError("a logit at the input or the baseline is not finite")
    logit, start = ends.tolist()
    found = PathAttribution(
        target, logit, start, steps, _split(network, x, baseline, target, steps, logit - start)
    )
    while _worst(found) > _ENOUGH * abs(found.difference) and 2 * found.steps <= most_steps:
        finer = _split(network, x, baseline, target, 2 * found.steps, found.difference)
        before, found = found, PathAttribution(target, logit, start, 2 * found.steps, finer)
        if _worst(found) > _HELPS * _worst(before):
            break
    return found


def _worst(found: PathAttribution) -> float:
    return max((abs(unit.completeness_error) for unit in found.units), default=0.0)


def _split(
    network: TappedNetwork, x: Tensor, baseline: Tensor, target: int, steps: int, difference: float
) -> tuple[Conductance, ...]:
    if not network.used:
        return tuple(Conductance(unit.name, 0.0, 0.0, -difference) for unit in network.units)
    try:
        # the trapezoid's points include both ends; those of the default (Gauss) leave out the first and the last bit
        values = LayerConductance(network, network.gathered).attribute(
            x,
            baseline,
            target=target,
            n_steps=steps,
            method="riemann_trapezoid",
            internal_batch_size=network.points_at_once(x),
        )
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:200]
        raise NotAttributableError(f"the network could not be differentiated: {reason}") from error
    sums = [float(value.detach().sum()) for value in values]
    split = dict(zip(network.used, zip(sums[0::2], sums[1::2], strict=True), strict=True))
    found = [(unit, *split.get(unit, (0.0, 0.0))) for unit in network.units]
    return tuple(Conductance(unit.name, branch, total, total - difference) for unit, branch, total in found)
