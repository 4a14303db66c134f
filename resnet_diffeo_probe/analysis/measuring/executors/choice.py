"""Which executor of this process carries out a plan: it depends on where its Jacobians are eliminated."""

from __future__ import annotations

from resnet_diffeo_probe.analysis.measuring.executors.on_device import OnDevice
from resnet_diffeo_probe.analysis.measuring.executors.threads import InThreads
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.jacobian.linearized.device import compute_device
from resnet_diffeo_probe.units import Discovery

__all__ = ["in_this_process", "is_on_device"]


def in_this_process(discovery: Discovery, plan: Plan) -> InThreads | OnDevice:
    """Return threads that eliminate input by input on the CPU, and several inputs together on a GPU.

    Args:
        discovery: the network, in the dtype of the plan.
        plan: what to measure, prepared.
    """
    return OnDevice(discovery, plan) if is_on_device(plan) else InThreads(discovery, plan)


def is_on_device(plan: Plan) -> bool:
    """Return whether Jacobians are eliminated on something else than the CPU."""
    return compute_device(plan.settings.device).type != "cpu"
