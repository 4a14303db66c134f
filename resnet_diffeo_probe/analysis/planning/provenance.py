"""What a result says of how it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold

__all__ = ["Provenance"]


@dataclass(frozen=True, eq=False)
class Provenance:
    """What is written into a result beside its numbers, and changes none of them.

    Attributes:
        command: the command line.
        configuration: every option as used; None: the settings.
        thresholds: limits that the numbers are held against; None: the defaults.
    """

    command: str = ""
    configuration: Mapping[str, Any] | None = None
    thresholds: Iterable[Threshold] | None = None
