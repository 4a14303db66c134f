"""Is a pair whose images agree up to rounding near one whose images are equal? By an enclosure at one of its points.

With y the exact image of x₂, a ball of radius r around x₁ that holds x₁* with g(x₁*) = y, and r at most half of
‖x₁ − x₂‖: x₁* and x₂ are different and have one image. Where the activation after the addition is constant, as a ReLU
is below zero, coordinates that certainly lie there at both points do not count: y takes them from x₁.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from resnet_diffeo_probe.activations import Activation
from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds, branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.enclosure import Enclosure, enclose
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import inverse_bound
from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error, size, sum_error
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = ["enclosed_pair"]


def enclosed_pair(
    jacobian: UnitJacobian,
    which: Literal["sum", "unit"],
    x1: Tensor,
    x2: Tensor,
    *,
    activation: Activation | None = None,
    bounds: BranchBounds | None = None,
) -> Enclosure | None:
    """Enclose a pair with exactly one image, moving one of the two points.

    Args:
        jacobian: of the unit, float64.
        which: the sum map, or the unit with the activation after its addition.
        x1: (1, *shape) float64.
        x2: (1, *shape) float64.
        activation: what is known of the one after the addition.
        bounds: of the branch, made here if None.

    Returns:
        The enclosure with the smaller radius, at x₂ if that is at most half of the distance; None where a bound that it
        rests on is not known for this branch.
    """
    bounds = branch_bounds(jacobian) if bounds is None else bounds
    if bounds is None:
        return None
    points = [(jacobian.at(x), forward_error(jacobian, x)) for x in (x1, x2)]
    images, errors = [], []
    for lin, forward in points:
        if forward is None:
            return None
        images.append(lin.x + lin.branch_output)
        errors.append(sum_error(lin, forward))
    free = torch.ones_like(images[0], dtype=torch.bool)
    for flat in (activation.constants or ()) if which == "unit" and activation is not None else ():
        inside = [
            (y - error > flat.low) & (y + error < flat.high) for y, error in zip(images, errors, strict=True)
        ]
        free &= ~(inside[0] & inside[1])
    gap = norm((images[0] - images[1])[free])
    rounding = sum(size(error[free.to(error.device)]) for error in errors)
    found: list[Enclosure] = []
    for lin, forward in reversed(points):
        if forward is None:
            return None
        inverse = inverse_bound(lin.factorize(keep=True), bounds, forward)
        found.append(enclose(lin, inverse, bounds, forward, gap=gap, rounding=rounding))
        radius = found[-1].radius
        if radius is not None and radius <= norm(x1 - x2) / 2:
            break
    return min(found, key=lambda one: float("inf") if one.radius is None else one.radius)
