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
    from resnet_diffeo_probe.analysis import Progress, Settings, Threshold, read_thresholds
    from resnet_diffeo_probe.bijectivity import Proofs, Verdict, Witness, prove
    from resnet_diffeo_probe.demo import Demo, demo_paths
    from resnet_diffeo_probe.errors import DiffeoProbeError
    from resnet_diffeo_probe.finding import Evidence, Finding, Status
    from resnet_diffeo_probe.inputs import Inputs, Preprocessing, read_inputs
    from resnet_diffeo_probe.jacobian import UnitJacobian, determinant, measure
    from resnet_diffeo_probe.models import LoadedModel, load
    from resnet_diffeo_probe.notebook import Options, Study, analyze, read
    from resnet_diffeo_probe.units import Discovery, ResidualUnit, discover

__all__ = [
    "Demo",
    "DiffeoProbeError",
    "Discovery",
    "Evidence",
    "Finding",
    "Inputs",
    "LoadedModel",
    "Options",
    "Preprocessing",
    "Progress",
    "Proofs",
    "ResidualUnit",
    "Settings",
    "Status",
    "Study",
    "Threshold",
    "UnitJacobian",
    "Verdict",
    "Witness",
    "__version__",
    "analyze",
    "demo_paths",
    "determinant",
    "discover",
    "load",
    "measure",
    "prove",
    "read",
    "read_inputs",
    "read_thresholds",
]

_ROOMS = {
    "Demo": "demo",
    "DiffeoProbeError": "errors",
    "Discovery": "units",
    "Evidence": "finding",
    "Finding": "finding",
    "Inputs": "inputs",
    "LoadedModel": "models",
    "Options": "notebook",
    "Preprocessing": "inputs",
    "Progress": "analysis",
    "Proofs": "bijectivity",
    "ResidualUnit": "units",
    "Settings": "analysis",
    "Status": "finding",
    "Study": "notebook",
    "Threshold": "analysis",
    "UnitJacobian": "jacobian",
    "Verdict": "bijectivity",
    "Witness": "bijectivity",
    "analyze": "notebook",
    "demo_paths": "demo",
    "determinant": "jacobian",
    "discover": "units",
    "load": "models",
    "measure": "jacobian",
    "prove": "bijectivity",
    "read": "notebook",
    "read_inputs": "inputs",
    "read_thresholds": "analysis",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
