"""A plan (which units, inputs, measures), its run, and the stored analysis that comes out.

What reads and checks a stored analysis is imported at once; the rest, which takes torch, when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resnet_diffeo_probe.analysis.result.schema import SCHEMA_VERSION, read_result, validate, write_result

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold, read_thresholds
    from resnet_diffeo_probe.analysis.events import Progress
    from resnet_diffeo_probe.analysis.planning.settings import Settings

__all__ = [
    "SCHEMA_VERSION",
    "Progress",
    "Settings",
    "Threshold",
    "read_result",
    "read_thresholds",
    "validate",
    "write_result",
]

_LATER = {
    "Progress": "events",
    "Settings": "planning.settings",
    "Threshold": "comparing.thresholds",
    "read_thresholds": "comparing.thresholds",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
