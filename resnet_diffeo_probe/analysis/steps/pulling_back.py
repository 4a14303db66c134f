"""The metric that the network pulls back to its pixels, depth by depth, at the first input: bounded and stored."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.measuring.worker import one_thread
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.result.part_check import validate_part
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.analysis.store.error import StoreError
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, basis_of
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.jacobian.estimators.bidiagonal import random_frame
from resnet_diffeo_probe.jacobian.estimators.work import flops_of
from resnet_diffeo_probe.jacobian.measures.pullback import pullback
from resnet_diffeo_probe.units import Discovery

__all__ = ["PULLBACK", "pullback_json"]

# Its name in the store.
(_STEP,) = step_names.PULLBACK.kept
# Operations for all depths together: some minutes of one core.
_MAX_FLOPS = 5e12
_FEWEST_DIRECTIONS = 8
# Copies of a small image that go through the network at once.
_BATCH, _SMALL = 32, 3 * 64 * 64


@dataclass(frozen=True)
class _Directions:
    """What is pushed through the network: every pixel, or a random orthonormal basis of fewer directions."""

    count: int
    pixels: int
    reason: str | None = None
    flops: float | None = None

    def tangents(self, x: Tensor, seed: int) -> Tensor | None:
        """Return (count, *shape), None for every pixel."""
        if self.count == self.pixels:
            return None
        return random_frame(self.count, self.pixels, seed, x.device).reshape(self.count, *x.shape[1:])


def pullback_json(discovery: Discovery, settings: Settings, batch: Inputs, kept: KeptSteps) -> dict[str, Any]:
    """Measure the Jacobian of every unit's output with respect to the pixels at the first input.

    Args:
        discovery: the network in the dtype of the plan.
        settings: dtype, seed and memory.
        batch: the inputs.
        kept: where what was measured is kept, and found again.

    Returns:
        The object `pullback` of a result: a list of depths, or the reason why there are none.
    """
    name = batch.names[0]
    x = _input(batch, settings)
    try:
        with one_thread():  # the number of threads changes no bit
            chosen = _affordable(discovery, x, settings.memory)
            if chosen.count == 0:
                return _not_run(name, chosen)
            found: dict[str, Any] = kept.take(
                _STEP,
                name,
                basis_of(input=x, name=name, directions=chosen.count, reason=chosen.reason),
                lambda: _measured(discovery, x, chosen, settings, name),
                _require,
            )
    except StoreError:
        raise
    except (RuntimeError, ValueError, MemoryError, DiffeoProbeError) as error:
        lines = str(error).splitlines() or [""]
        return _not_run(name, _Directions(0, x.numel(), f"{type(error).__name__}: {lines[0][:300]}"))
    return found


def _input(batch: Inputs, settings: Settings) -> Tensor:
    x: Tensor = batch.part(0, 1).to(getattr(torch, settings.dtype))
    return x


def _run(context: Context) -> dict[str, Any] | None:
    return pullback_json(context.exact, context.settings, context.batch, context.kept)


def _cost(context: Context) -> float | None:
    try:
        return _affordable(
            context.exact, _input(context.batch, context.settings), context.settings.memory
        ).flops
    except (RuntimeError, ValueError, MemoryError):  # the step itself says what is wrong with the network
        return None


PULLBACK: Step[dict[str, Any] | None] = Step(
    step_names.PULLBACK,
    wanted=lambda settings: settings.refines and settings.budget is Budget.FULL,
    run=_run,
    nothing=lambda: None,
    cost=_cost,
)


def _require(part: Any) -> None:
    if not isinstance(part, dict):  # a result may hold none at all
        raise TypeError("no pullback")
    validate_part("pullback", part)


def _measured(
    discovery: Discovery, x: Tensor, chosen: _Directions, settings: Settings, name: str
) -> dict[str, Any]:
    started = time.perf_counter()
    depths = pullback(
        discovery,
        x,
        directions=chosen.tangents(x, settings.seed),
        batch=_BATCH if x.numel() <= _SMALL else 1,
        max_bytes=settings.memory,
    )
    return {
        "input": name,
        "pixels": chosen.pixels,
        "directions": chosen.count,
        "seed": settings.seed if chosen.count < chosen.pixels else None,
        "reason": chosen.reason,
        "seconds": round(time.perf_counter() - started, 3),
        "depths": [
            {
                "unit": depth.unit,
                "outputs": depth.outputs,
                **{quantity: finding.to_json() for quantity, finding in depth.findings.items()},
            }
            for depth in depths
        ],
    }


def _not_run(name: str, chosen: _Directions) -> dict[str, Any]:
    return {
        "input": name,
        "pixels": chosen.pixels,
        "directions": 0,
        "seed": None,
        "reason": chosen.reason,
        "seconds": 0.0,
        "depths": [],
    }


def _affordable(discovery: Discovery, x: Tensor, max_bytes: float) -> _Directions:
    """Choose every pixel where memory and operations allow that, else as many directions as they allow."""
    pixels = x.numel()
    if not bool(torch.isfinite(x).all()):
        return _Directions(0, pixels, "the input holds NaN or infinity")
    evaluation = flops_of(discovery.graph, x)
    outputs = [_numel(unit.output_shape) for unit in discovery.units]

    def flops(p: int) -> float:
        # a push is two passes backwards; QR, then singular values of its factor, at half of the speed of products
        spent = 6 * evaluation * p
        for m in outputs:
            low, high = min(p, m), max(p, m)
            spent += 2 * low**2 * (high - low / 3) + 2 * (8 / 3) * low**3
        return spent

    def bytes_(p: int) -> float:
        # the tangents at a depth and at the one before, and a copy of them while they are factorised
        return 8.0 * p * (3 * max(outputs) + pixels)

    def fits(p: int) -> bool:
        return flops(p) <= _MAX_FLOPS and bytes_(p) <= max_bytes

    if fits(pixels):
        return _Directions(pixels, pixels, flops=flops(pixels))
    short = (
        f"{flops(pixels):.2g} operations"
        if bytes_(pixels) <= max_bytes
        else f"{bytes_(pixels) / 2**30:.3g} GiB"
    )
    count = 1 << (pixels.bit_length() - 1)
    while count >= _FEWEST_DIRECTIONS and not fits(count):
        count //= 2
    if count < _FEWEST_DIRECTIONS:
        return _Directions(
            0, pixels, f"all {pixels} pixels need {short}, and {_FEWEST_DIRECTIONS} are too many too"
        )
    return _Directions(
        count,
        pixels,
        f"all {pixels} pixels need {short}: {count} random orthonormal directions stand for them, so that ranks are at "
        "most that, and singular values are those of the Jacobian restricted to their span",
        flops(count),
    )


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
