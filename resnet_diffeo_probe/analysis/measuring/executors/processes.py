"""Tasks carried out by processes of this machine: a measurement can be stopped, and dies alone."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import torch
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from resnet_diffeo_probe.analysis.measuring.admission import Admission, NotAdmittedError
from resnet_diffeo_probe.analysis.measuring.executors.bounded import carry_out
from resnet_diffeo_probe.analysis.measuring.pair import BegunPair, UnmeasuredError, measure_pair
from resnet_diffeo_probe.analysis.measuring.specification import Specification, built, packed
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.measuring.worker import Worker, threads_of_linear_algebra
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError

__all__ = ["InProcesses"]

# So many workers may die over one task before it becomes a row.
_ATTEMPTS = 3
# Seconds between looks at whether the pool that has a task still lives.
_LOOK = 1.0
# Seconds that a task has at least once it is begun: a limit of none would end what needs no time.
_LEAST = 0.05


class InProcesses:
    """Processes of this machine; an `analysis.tasks.Executor`.

    Every worker computes with the same number of threads, by default one, so that results do not depend on how many
    there are. A worker whose task takes too long is ended, a worker that dies is replaced; the other workers do not
    notice. Time that a task waits for memory does not count.

    Processes are started by `forkserver` where there is one, else by `spawn`: a script that uses this class needs
    `if __name__ == "__main__":` around its own work.

    Args:
        specification: what a worker is made of.
        plan: the parent's, from which rows of failed tasks are made.
        workers: processes; None for as many as the plan's settings say.
        unit_timeout: seconds after which a task is stopped; None for never.

    Attributes:
        admission: the memory that the workers share.

    Raises:
        ConfigurationError: the module cannot be sent, or the timeout is not positive.
    """

    def __init__(
        self,
        specification: Specification,
        plan: Plan,
        *,
        workers: int | None = None,
        unit_timeout: float | None = None,
    ) -> None:
        if unit_timeout is not None and not unit_timeout > 0:
            raise ConfigurationError(f"nothing is measured in {unit_timeout:g} s", fix="--unit-timeout 600")
        self._plan = plan
        self._units = {unit_plan.unit.name: unit_plan for unit_plan in plan.units}
        self._workers = plan.settings.threads if workers is None else workers
        self.admission = Admission(plan.settings.memory)
        content, context = packed(specification), _context()
        self._slots = [
            _Slot(content, plan.settings.memory, unit_timeout, context) for _ in range(self._workers)
        ]
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._stopping = False

    def __enter__(self) -> Self:
        for slot in self._slots:
            self._free.put(slot)
        self._pool = ThreadPoolExecutor(self._workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for slot in self._slots:
            slot.close()
        self._pool.shutdown()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Carry out tasks; see `Executor.run`."""
        return carry_out(
            tasks, self._measure, self._pool, workers=self._workers, stopping=lambda: self._stopping
        )

    def stop(self) -> None:
        """Finish what is in progress and begin nothing; see `Executor.stop`."""
        self._stopping = True

    def _measure(self, task: Task) -> Outcome | None:
        slot = self._free.get()
        try:
            lost = ""
            for _ in range(_ATTEMPTS):
                if self._stopping:
                    return None
                try:
                    needed = slot.begin(task)
                    # who dies or is ended in there gives back what it held
                    with self.admission.admit(needed, given_up=lambda: self._stopping):
                        return slot.finish()
                except _WorkerLostError as death:
                    lost = str(death)
            return self._failed(task, f"{lost}, {_ATTEMPTS} times")
        except TimeoutError:
            return self._failed(task, f"stopped after {slot.timeout:g} s (--unit-timeout)")
        except (CancelledError, NotAdmittedError):  # the run was left or stopped
            return None
        finally:
            self._free.put(slot)

    def _failed(self, task: Task, reason: str) -> Outcome:
        return measure_pair(self._plan, self._units[task.unit], task.input, UnmeasuredError(reason))


class _WorkerLostError(Exception):
    """A worker that is gone; the text says what is known of its end."""


class _Slot:
    """One process at a time, replaced when it is gone.

    A pool for each process, since what one that is killed leaves behind (a lock, half a message) is then nobody
    else's, and since it is known which task it had.
    """

    def __init__(self, content: bytes, max_bytes: float, timeout: float | None, context: Any) -> None:
        self.timeout = timeout
        self._content, self._max_bytes, self._context = content, max_bytes, context
        self._pool: ProcessPool | None = None
        self._future: ProcessFuture[Any] | None = None
        self._closed = False
        self._spent = 0.0
        self._lock = threading.Lock()

    def begin(self, task: Task) -> float:
        """Make a task ready in the process, and return the bytes that it needs.

        Raises:
            _WorkerLostError: the process is gone.
            TimeoutError: it took too long and was ended.
            CancelledError: the slot was closed.
            DiffeoProbeError: no process can be made ready.
        """
        if self._pool is None:
            self._open()
        assert self._pool is not None  # noqa: S101 - for the type checker
        # as an array: tensors would travel as file descriptors, of which a process has few
        sent = (task.unit, task.input, task.x.numpy())
        started = time.monotonic()
        needed: float = self._result(self._pool, _begin, sent, self.timeout)
        self._spent = time.monotonic() - started
        return needed

    def finish(self) -> Outcome:
        """Measure what was begun, in the time that is left; raises as `begin` does."""
        left = None if self.timeout is None else max(_LEAST, self.timeout - self._spent)
        outcome: Outcome | None = None
        if self._pool is not None:
            outcome = self._result(self._pool, _finish, (), left)
        if outcome is None:  # the pool has replaced the process that began it
            raise _WorkerLostError("the worker process ended")
        return outcome

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            self._closed = True
        if self._future is not None:
            self._future.cancel()  # else whoever waits for it would wait for ever
        self._discard()

    def _open(self) -> None:
        """Start a process and wait until it is ready, apart from any task's time."""
        death: _WorkerLostError | None = None
        for _ in range(_ATTEMPTS):
            self._pool = ProcessPool(
                1, initializer=_build, initargs=(self._content, self._max_bytes), context=self._context
            )
            try:
                self._result(self._pool, _ready, (), None)
                return
            except _WorkerLostError as error:
                death = error
            except DiffeoProbeError:
                self._discard()
                raise
        raise ConfigurationError(
            f"{death} before it was ready to measure",
            why="a worker needs memory for the model and for what is prepared for every unit",
            fix="--workers 1",
        )

    def _result(self, pool: ProcessPool, function: Any, sent: tuple[Any, ...], timeout: float | None) -> Any:
        try:
            with self._lock:
                if self._closed:
                    raise CancelledError
                future: ProcessFuture[Any] = pool.schedule(function, args=sent, timeout=timeout)
                self._future = future
            while not wait([future], timeout=_LOOK).done:
                if not pool.active:  # a task that was handed over while the pool broke is nobody's
                    raise BrokenProcessPool("it broke")
            return future.result()
        except TimeoutError:
            raise
        except ProcessExpired as error:
            self._discard()
            raise _WorkerLostError(f"the worker process {_end(error.exitcode)}") from None
        except (BrokenProcessPool, RuntimeError, OSError) as error:
            self._discard()
            raise _WorkerLostError(f"the worker process ended ({str(error)[:200]})") from None

    def _discard(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            pool.join()


def _end(code: int) -> str:
    """Say how a process ended, from its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (", as happens where memory runs out" if name == "SIGKILL" else "")


def _context() -> Any:
    """Return how processes are started: never by forking this one, whose threads may hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # imported once, so that the process after one that was stopped is ready soon; what torch imports at its first
    # measurement would else be counted in the time of a task
    context.set_forkserver_preload([__name__, "torch.fx.experimental.symbolic_shapes"])
    return context


# --- in the worker process -------------------------------------------------------------------------------------------

_here: Worker | DiffeoProbeError | None = None
_begun: BegunPair | None = None
_process = ExitStack()  # left when the process ends


def _build(content: bytes, max_bytes: float) -> None:
    """Make this process a worker; a failure is kept for `_ready` to tell."""
    global _here  # noqa: PLW0603 - a process is one worker
    # by itself the library ends a process in Python, which a long call into linear algebra would put off
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _process.enter_context(threads_of_linear_algebra(1))
    _here = built(content, max_bytes=max_bytes)
    if isinstance(_here, Worker):
        _process.enter_context(threads_of_linear_algebra(_here.plan.settings.threads_per_worker))


def _ready() -> None:
    if isinstance(_here, DiffeoProbeError):
        raise _here


def _begin(unit: str, name: str, x: Any) -> float:
    global _begun  # noqa: PLW0603 - a process has one task at a time
    if not isinstance(_here, Worker):
        raise _here or ConfigurationError("this process is no worker")
    _begun = _here.begin(Task(unit, name, torch.from_numpy(x)))
    return _begun.needs


def _finish() -> Outcome | None:
    global _begun
    begun, _begun = _begun, None
    return None if begun is None else begun.measure()
