"""Tasks carried out by the workers of a Dask cluster: many machines, of which some may die."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from distributed import Client, Future, KilledWorker, wait
from distributed.deploy.cluster import Cluster

from resnet_diffeo_probe.analysis.measuring.executors.cluster_worker import (
    MeasuringPlugin,
    allocates_anew,
    measure_there,
)
from resnet_diffeo_probe.analysis.measuring.pair import UnmeasuredError, measure_pair
from resnet_diffeo_probe.analysis.measuring.specification import Specification, packed
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError

__all__ = ["OnDask"]

# A task that raises is tried so many times again, by whichever worker is free.
_RETRIES = 2
# Seconds between looks at whether the run was stopped, workers joined, or the scheduler is gone.
_LOOK = 1.0
# Seconds without an outcome after which it is asked whether all workers are too full to begin anything.
_PAUSED = 120.0


class OnDask:
    """Workers of a Dask cluster; an `analysis.tasks.Executor`.

    The model travels to each worker once. A task is at one worker at a time, and no more tasks are handed out than
    there are threads of workers, so that a worker that dies takes no task with it that it had not begun. Its task is
    done elsewhere; one over which more workers died than the scheduler allows is a row. Workers compute every task
    with the same number of threads, by default one, so that results do not depend on which worker it was. The threads
    of one worker process share its memory: half of its limit, or what the user allows each of them.

    Scheduler, workers and this process unpickle what they send each other: use TLS wherever others can reach them.

    Args:
        cluster: the scheduler's address (`tcp://host:8786`, `tls://host:8786`), or a Dask cluster object, which
            is closed at the end.
        specification: what a worker is made of, with its file's bytes (`ModelFile.of(…, travels=True)`).
        plan: the parent's, from which rows of failed tasks are made.
        patience: seconds to wait for the first worker; None for as long as it takes.
        tell: told, once, what makes the workers that are there slower than they could be.

    Raises:
        ConfigurationError: the module cannot be sent, the scheduler cannot be reached, or no worker joins.
    """

    def __init__(
        self,
        cluster: str | Cluster,
        specification: Specification,
        plan: Plan,
        *,
        patience: float | None = 60.0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._cluster, self._plan, self._patience, self._tell = cluster, plan, patience, tell
        self._units = {unit_plan.unit.name: unit_plan for unit_plan in plan.units}
        self._content = packed(specification)
        self._run = f"diffeo-probe-{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count()  # never the key of a task that the scheduler may still remember
        self._stopping = False
        self._client: Client | None = None

    def __enter__(self) -> Self:
        try:
            self._client = Client(self._cluster, set_as_default=False)
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            self._close()
            raise ConfigurationError(
                f"the scheduler {self._address} cannot be reached",
                why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
                fix="start one with `dask scheduler`; for tls:// name the certificates in Dask's configuration",
            ) from None
        try:
            limited = self._plan.settings.max_bytes is not None
            self._client.register_plugin(MeasuringPlugin(self._run, self._content, limited=limited))
            self._client.wait_for_workers(1, timeout=self._patience)
        except TimeoutError:
            self._close()
            raise ConfigurationError(
                f"no worker joined {self._address} within {self._patience:g} s",
                fix=f"dask worker {self._address} --nthreads 1 --nworkers auto",
            ) from None
        except BaseException as error:
            self._close()
            if not isinstance(error, Exception):
                raise
            raise ConfigurationError(
                "a worker of the cluster cannot measure",
                why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
                fix="pip install 'resnet-diffeo-probe[cluster]' in the same version on every machine",
            ) from None
        self._tell_of_allocation()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._close()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Carry out tasks; see `Executor.run`.

        Raises:
            DiffeoProbeError: the scheduler is gone, or a worker can build no network.
        """
        assert self._client is not None  # noqa: S101 - for the type checker
        waiting: dict[Future[Any], Task] = {}
        coming = iter(tasks)
        threads, looked, heard = 0, 0.0, time.monotonic()
        while True:
            if time.monotonic() - looked > _LOOK:
                threads, looked = self._threads(), time.monotonic()
            if (
                looked - heard > _PAUSED
            ):  # the scheduler is not asked about every worker as long as outcomes come
                if not self._somebody_works():
                    raise self._full()
                heard = looked
            while not self._stopping and len(waiting) < max(1, threads):
                if (task := next(coming, None)) is None:
                    break
                waiting[self._submit(task)] = task
            if not waiting:
                return
            with suppress(TimeoutError), self._client.as_current():
                wait(list(waiting), timeout=_LOOK, return_when="FIRST_COMPLETED")
            for future in [future for future in waiting if future.done()]:
                yield self._outcome(future, waiting.pop(future))
                heard = time.monotonic()

    def stop(self) -> None:
        """Finish what was handed out and hand out nothing more; see `Executor.stop`."""
        self._stopping = True

    @property
    def _address(self) -> str:
        return self._cluster if isinstance(self._cluster, str) else str(self._cluster.scheduler_address)

    def _tell_of_allocation(self) -> None:
        if self._tell is None or self._client is None:
            return
        with suppress(Exception):  # nothing rests on it
            slow = [there for there in self._client.run(allocates_anew, on_error="ignore").values() if there]
            if slow:
                self._tell(
                    f"workers with MALLOC_TRIM_THRESHOLD_, as Dask sets it: {len(slow)}; they take about 30 % more "
                    "processor time, and the documents on clusters say how to leave it out"
                )

    def _threads(self) -> int:
        """Return how many tasks the cluster's workers can have in work at the same time."""
        assert self._client is not None  # noqa: S101 - for the type checker
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError, ValueError) as error:
            raise self._gone(error) from None

    def _somebody_works(self) -> bool:
        """Return whether any worker measures or would begin to: not where all are paused for want of memory."""
        assert self._client is not None  # noqa: S101 - for the type checker
        try:
            known = self._client.scheduler_info()["workers"].values()
            # some versions of the library name a few workers only: nothing is concluded then
            if not known or len(known) < len(self._client.nthreads()):
                return True
        except (OSError, RuntimeError, ValueError) as error:
            raise self._gone(error) from None
        return any(w["status"] != "paused" or w["metrics"]["task_counts"].get("executing") for w in known)

    def _submit(self, task: Task) -> Future[Any]:
        assert self._client is not None  # noqa: S101 - for the type checker
        return self._client.submit(
            measure_there,
            self._run,
            task.unit,
            task.input,
            task.x.numpy(),
            key=(self._run, next(self._numbers)),
            retries=_RETRIES,
            pure=False,
        )

    def _outcome(self, future: Future[Any], task: Task) -> Outcome:
        try:
            if future.status in ("cancelled", "lost"):
                raise self._gone(future.status)
            outcome: Outcome = future.result()
            return outcome
        except DiffeoProbeError:
            raise
        except KilledWorker as error:
            reason = f"{error.allowed_failures + 1} workers died while they measured it"
        except Exception as error:  # whatever a worker met, it is this task's row
            text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            reason = f"failed {_RETRIES + 1} times on the cluster ({text})"
        return measure_pair(self._plan, self._units[task.unit], task.input, UnmeasuredError(reason))

    def _full(self) -> ConfigurationError:
        return ConfigurationError(
            f"all workers of {self._address} are paused, since their memory is nearly full",
            why="the libraries and the model take most of what each may have (distributed.worker.memory.pause)",
            fix="give each worker more memory (--memory-limit, --slurm-memory) and go on with --resume",
        )

    def _gone(self, why: object) -> ConfigurationError:
        return ConfigurationError(
            f"the scheduler {self._address} is gone",
            why=str(why)[:300],
            fix="start it again and go on with --resume: what was measured is in the output folder",
        )

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            if client.status == "running":
                with suppress(Exception):  # a cluster in trouble must not hide why
                    client.unregister_worker_plugin(self._run)
            client.close()
        if not isinstance(self._cluster, str):
            self._cluster.close()
