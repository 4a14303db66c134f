"""How one analysis is carried out: who measures, where what is found is kept, who may end it and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from resnet_diffeo_probe.analysis.events import Events
from resnet_diffeo_probe.analysis.measuring.executors import in_this_process
from resnet_diffeo_probe.analysis.measuring.interrupt import Stop
from resnet_diffeo_probe.analysis.measuring.tasks import Executor
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.units import Discovery

__all__ = ["Execution"]


@dataclass(frozen=True, eq=False)
class Execution:
    """How one analysis is carried out. None of it changes a number of the result.

    Attributes:
        executor: makes who measures from the network in the dtype of the plan and the prepared plan; as it is: threads
            of this process, and its GPU where the settings ask for one.
        store: where measurements and parts of steps are committed as they are made, and found again; None: nowhere.
        stop: what an interrupt does. As it is, the first one finishes what is in progress and the second one raises a
            `KeyboardInterrupt`. It serves one analysis.
        events: who hears of the run.
    """

    executor: Callable[[Discovery, Plan], Executor] = in_this_process
    store: Store | None = None
    stop: Stop = field(default_factory=Stop)
    events: Events = field(default_factory=Events)
