"""Who carries out tasks: threads of this process or its GPU, processes of this machine, machines of a cluster."""

from __future__ import annotations

from resnet_diffeo_probe.analysis.measuring.executors.choice import in_this_process, is_on_device
from resnet_diffeo_probe.analysis.measuring.executors.on_device import OnDevice
from resnet_diffeo_probe.analysis.measuring.executors.processes import InProcesses
from resnet_diffeo_probe.analysis.measuring.executors.threads import InThreads

__all__ = ["InProcesses", "InThreads", "OnDevice", "in_this_process", "is_on_device"]
