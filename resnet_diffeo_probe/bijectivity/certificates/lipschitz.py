"""Lipschitz constants of pointwise activations, and of their derivatives where these are continuous."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from resnet_diffeo_probe.bijectivity.branch import Kinked
from resnet_diffeo_probe.jacobian.branch.activations import Activation

__all__ = ["curvature_bound", "slope_bound", "slope_range"]

# Suprema of |σ'|, rounded up in the fourth digit where they are no simple numbers.
_SLOPES = {
    "gelu": 1.1290,  # erf and tanh form; at z ≈ ±√2 for erf
    "silu": 1.0999,
    "mish": 1.0887,
    "tanh": 1.0,
    "sigmoid": 0.25,
    "softplus": 1.0,
    "logsigmoid": 1.0,
    "softsign": 1.0,
    "erf": 2 / math.sqrt(math.pi) * (1 + 1e-15),
    "sin": 1.0,
    "cos": 1.0,
    "celu": 1.0000001,  # torch keeps 1/α in float32
    "selu": 1.7581,
    "hardswish": 1.5,
    "hardsigmoid": 0.1667,  # torch keeps 1/6 in float32
}
# Suprema of |σ''| of smooth activations without parameters, rounded up.
_CURVATURES = {
    "gelu": 0.7993,  # erf form: 2/√(2π) = 0.7979; tanh form a little more
    "silu": 0.5,
    "tanh": 0.7699,
    "sigmoid": 0.0963,
    "erf": 0.9679,
    "sin": 1.0,
    "cos": 1.0,
}


def slope_range(act: Activation | Kinked, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor] | None:
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


def slope_bound(act: Activation | Kinked, shape: tuple[int, ...]) -> float | None:
    """Return an upper bound of |σ'| everywhere, None where none is known.

    Args:
        act: the activation.
        shape: (C, *spatial) that it is applied to.
    """
    slopes = slope_range(act, shape)
    if slopes is not None:
        return max(float(slopes[0].abs().max()), float(slopes[1].abs().max()))
    if act.name == "elu":  # α eᶻ below zero, 1 above it; its slope at 0 from below is α, here to ten digits
        return max(1.0, float(_derivative(act, -1e-11, shape).max()) * (1 + 1e-10))
    return _SLOPES.get(act.name)


def curvature_bound(act: Activation | Kinked) -> float | None:
    """Return an upper bound of |σ''| everywhere, None where none is known."""
    return _CURVATURES.get(act.name)


def _derivative(act: Activation | Kinked, at: float, shape: tuple[int, ...]) -> torch.Tensor:
    with torch.enable_grad():
        z = torch.full((1, *shape), at, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(act.function(z).sum(), z)
    return gradient
