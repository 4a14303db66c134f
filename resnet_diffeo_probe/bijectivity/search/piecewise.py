"""Two points with one image at a fold of a piecewise linear map, from linear algebra alone.

On the line p + s q through the fold, q = J₋⁻¹ u: before the kink g moves along s u, behind it along −κ s u. So
p + s q and p − κ s q have one image, exactly, until another hidden unit crosses a kink.

See docs/mathematics.md, "What proves a fold".
"""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import kinked_steps
from resnet_diffeo_probe.bijectivity.search.fold import FoldPoint, HiddenUnit
from resnet_diffeo_probe.jacobian import Linearization

__all__ = ["free_length", "pair_at_fold"]

# The pair stays inside the two cells by this share of the way to the next kink.
_INSIDE = 0.9


def pair_at_fold(fold: FoldPoint, *, room: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return x₁ (before the kink) and x₂ (behind it) with g(x₁) = g(x₂) up to rounding.

    Args:
        fold: as `find_fold` gives it.
        room: (1, *shape) how far each coordinate may move from the fold's point; None for no limit.
    """
    forward = fold.rise if fold.upward else -fold.rise  # > 0: behind the kink is where s > 0
    behind = 1.0 if forward > 0 else -1.0
    longest = min(
        free_length(fold.after, fold.point, behind * fold.direction, fold.hidden),
        free_length(fold.before, fold.point, -behind * fold.direction, fold.hidden) / fold.kappa,
    )
    if room is not None:
        moved = fold.direction.abs() * max(1.0, fold.kappa)
        limits = torch.where(moved > 0, room / moved, torch.inf)
        longest = min(longest, float(limits.min()))
    # in a map without another kink on the line any length would do
    s = behind * (_INSIDE * longest if longest < float("inf") else 1.0)
    return fold.point - fold.kappa * s * fold.direction, fold.point + s * fold.direction


def free_length(lin: Linearization, start: Tensor, direction: Tensor, on_kink: HiddenUnit) -> float:
    """Return how far start + s·direction runs, s > 0, until a hidden unit crosses a kink of its activation.

    Args:
        lin: a linearisation in the cell that the ray runs through.
        start: (1, *shape) a point of the closed cell.
        direction: (1, *shape).
        on_kink: the unit whose kink the point is on and leaves.
    """
    segments, acts = lin.parent.chain.segments, kinked_steps(lin.parent) or ()
    pre_activations = lin.parent.at(start).pre_activations
    nearest = float("inf")
    moving = direction
    for cut, (act, z, slope) in enumerate(zip(acts, pre_activations, lin.derivatives, strict=True), 1):
        rate = segments[cut - 1].apply(moving)
        for kink in act.kinks:
            ahead = (kink - z) / rate
            ahead = torch.where((rate != 0) & (ahead >= 0), ahead, torch.inf)
            if cut == on_kink.cut and kink == on_kink.kink:
                ahead.view(-1)[on_kink.index] = torch.inf
            nearest = min(nearest, float(ahead.min()) if ahead.numel() else nearest)
        moving = rate * slope
    return nearest
