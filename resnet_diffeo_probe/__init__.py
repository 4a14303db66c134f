"""diffeo-probe: is this pretrained ResNet's mapping a bijection, and where does it fold?

Example:
    >>> import resnet_diffeo_probe as rdp
    >>> study = rdp.analyze(model, images)      # any nn.Module, a batch (N, C, H, W)
    >>> study                                   # in a notebook: the verdicts as a table
    >>> study.to_frame()                        # every number, as a pandas DataFrame
    >>> study.report("report.html")

Nothing heavy is imported before one of these names is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resnet_diffeo_probe.version import __version__

if TYPE_CHECKING:
    from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
    from resnet_diffeo_probe.models import load
    from resnet_diffeo_probe.notebook import Study, analyze, read
    from resnet_diffeo_probe.units import discover

__all__ = ["Preprocessing", "Study", "__version__", "analyze", "discover", "load", "read", "read_inputs"]

_ROOMS = {
    "Preprocessing": "inputs",
    "Study": "notebook",
    "analyze": "notebook",
    "read": "notebook",
    "discover": "units",
    "load": "models",
    "read_inputs": "inputs",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
