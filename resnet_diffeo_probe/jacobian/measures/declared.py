"""Is the derivative that a network declares that of what it computes? Secants beside automatic differentiation.

Straight-through estimators (fake quantisation) and operations with a backward of their own declare any slope they like,
and every Jacobian that is taken through them is then that of another function. In float64, along random directions at
the scale of the activations, differences of the map itself are held against what it declares.

At a kink, or at a jump, differences to either side disagree: these coordinates say nothing about the declared slope.
A statement is made only where both sides and two step sizes agree, beyond what rounding explains.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError

__all__ = ["JUMPS", "UNDECLARED", "declared_doubt"]

UNDECLARED = "the derivative that the network declares is not that of what it computes"
JUMPS = (
    "what the unit computes jumps at this input: it has no derivative there, whatever the network declares"
)

Map = Callable[[Tensor], Tensor]

# Of the size that a random projection of J has: a single wrong coordinate among a million shows.
_TOLERANCE = 1e-4
# Coordinates whose four differences are further apart than this, relative, are on a kink, jump, or are curved.
_AGREE = _TOLERANCE / 8
# Steps relative to the activations, smaller first: kinks and curvature leave small ones alone, rounding large ones.
_STEPS = ((1e-7, 1e-6), (1e-9, 1e-8), (1e-5, 1e-4), (1e-3, 1e-2))
_QUICK_STEP = 1e-7
_QUICK, _THOROUGH = 2, 3
# Slopes below this are nothing beside those of x itself, and their squares leave the range of float64.
_NOTHING = 1e-100
# A jump is as high behind a step a thousand times as short.
_NEAR, _FAR = 1e-9, 1e-6


def declared_doubt(
    function: Map, x: Tensor, *, rounding: Callable[[], Tensor] | None = None, seed: int = 0
) -> str | None:
    """Return why the Jacobian by automatic differentiation is not that of a map at an input; None if nothing says so.

    Args:
        function: (1, *in_shape) -> (1, *out_shape), in float64.
        x: (1, *in_shape) float64.
        rounding: measures how far rounding moves the map's output, (1, *out_shape), for its last bits; asked for only
            where a difference is found.
        seed: of directions and projections.

    Raises:
        UnsupportedUnitError: torch cannot differentiate an operation of the map.
    """
    generator = torch.Generator().manual_seed(seed)
    pull = _Pull(function, x)
    middle = pull.output
    size = _rms(x) or 1.0
    if middle.numel() == 0 or not bool(torch.isfinite(middle).all()) or not math.isfinite(size):
        return None
    draw = _Draw(generator, x.dtype)
    u = draw(middle)
    own = pull(u)
    # E‖Jᵀu‖² = ‖J‖², and so large each coordinate of J v is on average
    typical = float(torch.linalg.vector_norm(own)) / math.sqrt(middle.numel())
    h = _QUICK_STEP * size
    agrees = True
    for _ in range(_QUICK):
        v = draw(x)
        secant = (_at(function, x + h * v) - _at(function, x - h * v)) / (2 * h)
        agrees = agrees and _close(float((own * v).sum()), secant, u, typical)
    if agrees:
        return None
    moved = torch.zeros_like(middle) if rounding is None else rounding()
    if _jumps(function, pull.output, x, draw(x), size, typical, moved):
        return JUMPS
    found = [_along(function, pull, x, draw, size, typical, moved) for _ in range(_THOROUGH)]
    # one may agree by accident, and one may disagree by a kink that looks like none
    return UNDECLARED if sum(one is False for one in found) >= _QUICK else None


def _along(
    function: Map, pull: _Pull, x: Tensor, draw: _Draw, size: float, typical: float, rounding: Tensor
) -> bool | None:
    """Return whether secants along a random direction are what is declared; None where they decide nothing."""
    v = draw(x)
    for steps in _STEPS:
        secants = torch.stack(
            [
                sign * (_at(function, x + sign * h * size * v) - pull.output) / (h * size)
                for h in steps
                for sign in (1, -1)
            ]
        )
        mean = secants.mean(0)
        spread = secants.amax(0) - secants.amin(0)
        least = max(typical, _rms(mean))
        sizes = secants.abs().amax(0).clamp_min(least)
        certain = (spread <= _AGREE * sizes) & (rounding <= _AGREE * steps[0] * size * sizes)
        if not bool(certain.any()):
            continue
        u = draw(mean) * certain
        return _close(float((pull(u) * v).sum()), mean, u, typical)
    return None


def _jumps(
    function: Map, here: Tensor, x: Tensor, v: Tensor, size: float, typical: float, rounding: Tensor
) -> bool:
    for sign in (1, -1):
        near, far = ((_at(function, x + sign * h * size * v) - here).abs() for h in (_NEAR, _FAR))
        high = (near > 0.5 * far) & (near > 64 * rounding) & (near > _TOLERANCE * typical * size)
        if bool(high.any()):
            return True
    return False


class _Draw:
    """Gaussian tensors, drawn on the CPU: the same everywhere."""

    def __init__(self, generator: torch.Generator, dtype: torch.dtype) -> None:
        self._generator, self._dtype = generator, dtype

    def __call__(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._generator, dtype=torch.float64).to(like)


class _Pull:
    """Products with the transpose of what is declared; zero where torch declares no dependence on x."""

    def __init__(self, function: Map, x: Tensor) -> None:
        with torch.enable_grad():
            self._x = x.detach().clone().requires_grad_()
            self._image = function(self._x)
        self.output = self._image.detach()

    def __call__(self, u: Tensor) -> Tensor:
        if not self._image.requires_grad:
            return torch.zeros_like(self._x)
        try:
            return torch.autograd.grad(self._image, self._x, u, retain_graph=True, materialize_grads=True)[0]
        except (RuntimeError, NotImplementedError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnsupportedUnitError(
                f"torch has no derivative for an operation of this unit ({text[:200]})"
            ) from error


def _at(function: Map, x: Tensor) -> Tensor:
    with torch.no_grad():
        return function(x)


def _close(declared: float, secant: Tensor, u: Tensor, typical: float) -> bool:
    """Say whether a declared projection is that of a secant, relative to what a projection of J v usually is."""
    found = float((u * secant).sum())
    usual = max(typical, _rms(secant)) * float(torch.linalg.vector_norm(u))
    return abs(declared - found) <= _TOLERANCE * usual + _NOTHING


def _rms(t: Tensor) -> float:
    return float(torch.linalg.vector_norm(t)) / math.sqrt(max(1, t.numel()))
