"""A module -> its residual units: graph, rules, taps."""

from resnet_diffeo_probe.units.discovery import Discovery, discover
from resnet_diffeo_probe.units.graph.rebuild import RecordingError
from resnet_diffeo_probe.units.recognition.rules import RejectedSum
from resnet_diffeo_probe.units.unit import ResidualUnit, UnitActivations

__all__ = ["Discovery", "RecordingError", "RejectedSum", "ResidualUnit", "UnitActivations", "discover"]
