"""What carries out a task: a network with its plan, and the activations of the last few inputs."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from resnet_diffeo_probe.analysis.measuring.pair import BegunPair
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.units import Discovery, UnitActivations

__all__ = ["Worker", "one_thread", "threads_of_linear_algebra"]

Seen: TypeAlias = dict[str, UnitActivations] | Exception


class Worker:
    """A network and its plan, ready to measure; any number of threads may use it at the same time.

    A measurement depends on its unit and its input alone: the forward pass is made for this input by itself.

    Args:
        discovery: the network, in the dtype of the plan.
        plan: what to measure, prepared.
        threads: that use it at the same time; decides how many inputs' activations are kept.
    """

    def __init__(self, discovery: Discovery, plan: Plan, *, threads: int = 1) -> None:
        self.plan = plan
        self._discovery = discovery
        self._units = {unit_plan.unit.name: unit_plan for unit_plan in plan.units}
        active = sum(unit_plan.not_run is None for unit_plan in plan.units)
        # tasks come input by input: so many inputs are in work at the same time, and one that is being left
        self._kept = 1 + math.ceil(threads / max(1, active))
        self._passes: OrderedDict[str, tuple[Tensor, Seen]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, task: Task) -> BegunPair:
        """Return the task's unit at its input, ready to be measured; whatever goes wrong is in the rows.

        Raises:
            KeyError: the plan has no such unit.
        """
        unit_plan = self._units[task.unit]
        seen = self._seen(task)
        here = seen if isinstance(seen, Exception) else seen[task.unit]
        return BegunPair(self.plan, unit_plan, task.input, here)

    def _seen(self, task: Task) -> Seen:
        """Return the activations at the task's input; made once for all units that come one after another."""
        with self._lock:
            if task.input in self._passes:
                x, seen = self._passes[task.input]
                # a worker that outlives a run may meet another input under the same name
                if x is task.x or torch.equal(x, task.x):
                    self._passes.move_to_end(task.input)
                    return seen
            try:
                _, seen = self._discovery.run(task.x)
            except Exception as error:  # one input must not take the others with it
                seen = error
            self._passes[task.input] = task.x, seen
            while len(self._passes) > self._kept:
                self._passes.popitem(last=False)
            return seen


def one_thread() -> AbstractContextManager[None]:
    """Give this thread one thread for linear algebra; as before afterwards."""
    return threads_of_linear_algebra(1)


@contextmanager
def threads_of_linear_algebra(count: int) -> Iterator[None]:
    """Give this thread so many threads for linear algebra; as before afterwards.

    Sums are split among them: another number gives other last bits.

    Args:
        count: for torch in the calling thread (others set their own), and for scipy in the whole process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        # scipy's own BLAS would start as many threads as there are cores for each worker, and they would spin
        with threadpool_limits(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
