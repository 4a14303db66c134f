"""A unit's declared derivative held against what it computes, in float64 whatever it is measured in."""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.measures.declared import declared_doubt
from resnet_diffeo_probe.units import ResidualUnit
from resnet_diffeo_probe.units.rounding import rounding_of
from resnet_diffeo_probe.units.transfer import transferred

__all__ = ["undeclared"]


def undeclared(unit: ResidualUnit, x: Tensor, *, seed: int = 0) -> str | None:
    """Return why a unit's Jacobian by automatic differentiation is not that of its map at x; None if nothing says so.

    Args:
        unit: in the dtype of the analysis.
        x: (1, *shape) its input.
        seed: of directions and projections.

    Raises:
        UnsupportedUnitError: torch cannot differentiate an operation of the unit.
    """
    parts = [unit.branch] if unit.preserves_dimension else [unit.branch, unit.shortcut_map]
    if x.dtype != torch.float64:
        parts = [transferred(part, dtype=torch.float64) for part in parts]
    x = x.detach().double()

    def function(z: Tensor) -> Tensor:
        branch: Tensor = parts[0].forward(z)
        return branch if len(parts) == 1 else branch + parts[1].forward(z)

    def rounding() -> Tensor:
        eps = torch.finfo(torch.float64).eps
        return torch.stack([rounding_of(part, x, eps, seed=seed) for part in parts]).sum(0)

    return declared_doubt(function, x, rounding=rounding, seed=seed)
