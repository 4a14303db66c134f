"""What a Dask worker keeps of an analysis: the network and its plan, sent once and built at the first task."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

import torch
from distributed import Worker as DaskWorker
from distributed import WorkerPlugin, get_worker

from resnet_diffeo_probe.analysis.measuring.admission import Admission
from resnet_diffeo_probe.analysis.measuring.specification import built
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.measuring.worker import Worker, one_thread, threads_of_linear_algebra
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError

__all__ = ["MeasuringPlugin", "allocates_anew", "measure_there"]

# The share of a worker's memory that factors may take; Dask pauses a worker at 0.8 and ends it at 0.95.
_SHARE = 0.5


class MeasuringPlugin(WorkerPlugin):
    """Makes a Dask worker one that measures; workers that join later get it from the scheduler.

    Args:
        name: of the plugin, one for each run.
        content: the specification, packed.
        limited: whether the user set a limit of memory; else a share of the worker's own is used.
    """

    def __init__(self, name: str, content: bytes, *, limited: bool) -> None:
        self.name = name
        self._content, self._limited = content, limited

    def setup(self, worker: DaskWorker) -> None:
        """Remember the worker; nothing is built in the event loop, which has to answer the scheduler."""
        self._threads = worker.state.nthreads
        limit = worker.memory_manager.memory_limit
        self._max_bytes = None if self._limited or not limit else _SHARE * limit
        self._lock, self._stack = threading.Lock(), ExitStack()
        self._built: Worker | DiffeoProbeError | None = None

    def teardown(self, worker: DaskWorker) -> None:
        """Forget the network."""
        self._built = None
        self._stack.close()

    def measure(self, task: Task) -> Outcome:
        """Measure in a thread of the Dask worker.

        Raises:
            DiffeoProbeError: no network can be built here.
        """
        torch.set_num_threads(1)  # of each thread its own
        with self._lock:
            if self._built is None:
                self._build()
            here = self._built
        if not isinstance(here, Worker):
            raise here or ConfigurationError("no network was built here")
        torch.set_num_threads(here.plan.settings.threads_per_worker)
        pair = here.begin(task)
        with self._admission.admit(pair.needs):
            return pair.measure()

    def _build(self) -> None:
        self._stack.enter_context(one_thread())
        self._built = built(self._content, threads=self._threads, max_bytes=self._max_bytes)
        if isinstance(self._built, Worker):
            settings = self._built.plan.settings
            self._stack.enter_context(threads_of_linear_algebra(settings.threads_per_worker))
            self._admission = Admission(settings.memory)


def allocates_anew() -> bool:
    """Return whether this worker maps every larger block of memory anew.

    Dask sets the variable for its workers so that freed memory goes back to the system at once. A threshold that is
    set, to whatever, ends glibc's adapting of the size from which blocks are mapped: that stays at 128 KiB, and every
    tensor is faulted in page by page (mallopt(3), `M_MMAP_THRESHOLD`).
    """
    return "MALLOC_TRIM_THRESHOLD_" in os.environ


def measure_there(plugin: str, unit: str, name: str, x: object) -> Outcome:
    """Measure one unit at one input, in a task of a Dask worker.

    Args:
        plugin: name of the run's plugin.
        unit: the unit's name.
        name: of the input.
        x: the input as an array.

    Raises:
        DiffeoProbeError: the worker has no network of this run, or cannot build it.
    """
    worker = get_worker()
    here = worker.plugins.get(plugin)
    if not isinstance(here, MeasuringPlugin):
        raise ConfigurationError(f"worker {worker.address} was not told what to measure")
    return here.measure(Task(unit, name, torch.as_tensor(x)))
