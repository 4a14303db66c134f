"""Lipschitz constants of pointwise activations, and of their derivatives where these are continuous."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from resnet_diffeo_probe.jacobian.branch.activations import Pointwise

__all__ = ["curvature_bound", "slope_bound", "slope_range"]


def slope_range(act: Pointwise, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the smallest and the largest slope of a piecewise linear activation, exact.

    Args:
        act: the activation.
        shape: (C, *spatial) that it is applied to: slopes may differ by channel.

    Returns:
        Two tensors (1, *shape); None if the activation is not piecewise linear.
    """
    if not act.piecewise_linear:
        return None
    kinks = sorted(act.kinks)
    between = [(a + b) / 2 for a, b in pairwise(kinks)]
    probes = [kinks[0] - 1, *between, kinks[-1] + 1] if kinks else [0.0]
    slopes = torch.stack([_derivative(act, probe, shape) for probe in probes])
    return slopes.amin(dim=0), slopes.amax(dim=0)


def slope_bound(act: Pointwise) -> float | None:
    """Return an upper bound of |σ(a) − σ(b)|/|a − b| over all a ≠ b, None where none is known."""
    return act.record.steepest


def curvature_bound(act: Pointwise) -> float | None:
    """Return a Lipschitz constant of σ', None where none is known."""
    curvature = act.record.curvature
    return curvature if curvature is not None and math.isfinite(curvature) else None


def _derivative(act: Pointwise, at: float, shape: tuple[int, ...]) -> torch.Tensor:
    with torch.enable_grad():
        z = torch.full((1, *shape), at, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(act.function(z).sum(), z)
    return gradient
