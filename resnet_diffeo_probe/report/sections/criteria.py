"""Which criteria a page explains."""

from __future__ import annotations

from collections.abc import Collection

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.registry import CRITERIA

__all__ = ["Criterion", "criteria_for"]


def criteria_for(quantities: Collection[str]) -> list[Criterion]:
    """Return the criteria that speak of at least one of these quantities; the sign is always explained."""
    return [c for c in CRITERIA if c.key == "sign" or any(key in quantities for key in c.quantities)]
