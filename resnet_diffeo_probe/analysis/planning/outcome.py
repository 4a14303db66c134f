"""What measuring one unit at one input gave: what workers return and the store keeps."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_diffeo_probe.finding import Finding

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What measuring one unit at one input gave.

    Attributes:
        unit: its name.
        input: the input's name.
        findings: by quantity.
        nonnegative: whether the unit's input has no negative coordinate.
        seconds: that it took.
    """

    unit: str
    input: str
    findings: dict[str, Finding]
    nonnegative: bool
    seconds: float
