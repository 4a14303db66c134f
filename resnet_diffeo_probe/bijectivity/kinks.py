"""Is an input on a kink that the stages of a branch do not count? Rounding bounds, and secants to both sides.

A sign is that of J only where J is one matrix. There are two ways to be on a kink without a stage that says so:

* A pre-activation is computed to within its rounding, and where it cancels that may be far more than the last digit of
  the largest one: on which side of the kink it truly lies is then not known (`certificates/rounding.py` bounds it).
* An operation bends where two of its operands are equal (max, sort, median, max pooling inside a gate), at zero (norm,
  abs), or the branch is one block that is differentiated as a whole: nobody counts kinks there, and at a tie torch's
  derivative is a mean and no one-sided slope. Differences to both sides along random directions find them: on a kink
  they stay apart however short the step, elsewhere they meet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error
from resnet_diffeo_probe.bijectivity.continuity import bending_operations
from resnet_diffeo_probe.jacobian import Linearization, UnitJacobian
from resnet_diffeo_probe.jacobian.branch.stages import PointwiseStage

__all__ = ["kink_doubt"]

# Steps relative to the input: small enough to pass few kinks that lie near and not at the input, large enough that
# rounding (1e-16 of the value over the step) stays below the tolerance.
_STEPS = (1e-7, 1e-8)
_DIRECTIONS = 2
# One-sided slopes that differ by this share of a usual slope, at both steps, are those of a kink.
_TOLERANCE = 1e-4
# Curvature makes the difference shrink with the step, tenfold here; at a kink it stays.
_STAYS = 0.5


def kink_doubt(jacobian: UnitJacobian, lin: Linearization, *, seed: int = 0) -> str | None:
    """Return why an input may lie on a kink that no stage counts; None where nothing says so.

    Args:
        jacobian: of the unit.
        lin: the unit at the input.
        seed: of the directions of secants.
    """
    stages = jacobian.chain.activations
    forward = forward_error(jacobian, lin.x)
    pointwise = all(isinstance(stage, PointwiseStage) for stage in stages)
    if forward is not None and pointwise and _fits(forward.met, lin):
        if lost := lin.kinks_within(forward.met):
            return f"{lost} pre-activations are within their own rounding of a kink: their side of it is not known"
        bending: tuple[str, ...] = ()
    else:
        bending = bending_operations(jacobian.branch)
    if not bending or not _bends(jacobian, lin.x, seed):
        return None
    names = ", ".join(bending)
    return f"the slopes to both sides of this input differ, however near: it lies on a kink of {names}"


def _fits(met: tuple[Tensor, ...], lin: Linearization) -> bool:
    return [error.shape for error in met] == [z.shape for z in lin.pre_activations]


def _bends(jacobian: UnitJacobian, x: Tensor, seed: int) -> bool:
    """Return whether slopes to both sides of x differ along random directions at two steps."""
    x = x.detach().double()
    branch = jacobian.branch
    generator = torch.Generator().manual_seed(seed)
    size = float(x.square().mean().sqrt()) or 1.0
    dtype = jacobian.chain.segments[0].example.dtype

    def at(z: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = branch(z.to(dtype))
        return out.double()

    here = at(x)
    for _ in range(_DIRECTIONS):
        v = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.device)
        apart, usual = [], 0.0
        for step in _STEPS:
            h = step * size
            ahead, behind = (at(x + h * v) - here) / h, (here - at(x - h * v)) / h
            apart.append((ahead - behind).abs())
            usual = max(usual, float(ahead.square().mean().sqrt()), float(behind.square().mean().sqrt()))
        far, near = apart
        rounding = 64 * torch.finfo(dtype).eps * here.abs() / (_STEPS[1] * size)
        stays = (near > _STAYS * far) & (far > _TOLERANCE * usual) & (near > rounding)
        if bool(stays.any()):
            return True
    return False
