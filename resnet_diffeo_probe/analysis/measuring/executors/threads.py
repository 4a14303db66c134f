"""Tasks carried out by threads of this process: nothing to start, nothing to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch

from resnet_diffeo_probe.analysis.measuring.admission import Admission, NotAdmittedError
from resnet_diffeo_probe.analysis.measuring.executors.bounded import carry_out
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.measuring.worker import Worker, threads_of_linear_algebra
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.units import Discovery

__all__ = ["InThreads"]


class InThreads:
    """Threads of this process; an `analysis.tasks.Executor`.

    Linear algebra releases the interpreter's lock, so threads share the cores well; what they cannot do is to stop
    a measurement that takes too long, or to outlive one that takes the process with it.

    Args:
        discovery: the network, in the dtype of the plan.
        plan: what to measure, prepared.
        workers: threads; None for as many as the plan's settings say.

    Attributes:
        admission: the memory that they share.
    """

    def __init__(self, discovery: Discovery, plan: Plan, *, workers: int | None = None) -> None:
        self._workers = plan.settings.threads if workers is None else workers
        self._each = plan.settings.threads_per_worker
        self._worker = Worker(discovery, plan, threads=self._workers)
        self.admission = Admission(plan.settings.memory)
        self._stack = ExitStack()
        self._stopping = False

    def __enter__(self) -> Self:
        self._stack.enter_context(threads_of_linear_algebra(self._each))
        self._pool = self._stack.enter_context(
            ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(self._each,))
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._stack.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Carry out tasks; see `Executor.run`."""
        return carry_out(
            tasks, self._measure, self._pool, workers=self._workers, stopping=lambda: self._stopping
        )

    def stop(self) -> None:
        """Finish what is in progress and begin nothing; see `Executor.stop`."""
        self._stopping = True

    def _measure(self, task: Task) -> Outcome | None:
        # asked here and not by cancelling futures: a signal handler must not take locks
        if self._stopping:
            return None
        pair = self._worker.begin(task)
        try:
            with self.admission.admit(pair.needs, given_up=lambda: self._stopping):
                return pair.measure()
        except NotAdmittedError:
            return None
