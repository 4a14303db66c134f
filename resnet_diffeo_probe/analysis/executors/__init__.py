"""Who carries out tasks: threads of this process, processes of this machine, machines of a cluster."""

from __future__ import annotations

from resnet_diffeo_probe.analysis.executors.processes import InProcesses
from resnet_diffeo_probe.analysis.executors.threads import InThreads

__all__ = ["InProcesses", "InThreads"]
