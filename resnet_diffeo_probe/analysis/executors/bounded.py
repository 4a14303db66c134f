"""Tasks pulled as workers become free, so that a run of millions holds a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from resnet_diffeo_probe.analysis.pair import Outcome
from resnet_diffeo_probe.analysis.tasks import Task

__all__ = ["carry_out"]


def carry_out(
    tasks: Iterable[Task],
    measure: Callable[[Task], Outcome | None],
    pool: ThreadPoolExecutor,
    *,
    workers: int,
    stopping: Callable[[], bool],
) -> Iterator[Outcome]:
    """Hand tasks to threads.

    Args:
        tasks: consumed in the calling thread, as they are needed.
        measure: carries out one task in a thread of the pool; None if the task is dropped.
        pool: of so many threads as there are workers.
        workers: how many.
        stopping: whether no further task is to be taken.

    Yields:
        Outcomes as they come.
    """
    waiting: set[Future[Outcome | None]] = set()
    coming = iter(tasks)
    while not stopping():
        # one task more than workers keeps each of them busy without holding many inputs
        while len(waiting) <= workers and (task := next(coming, None)) is not None:
            waiting.add(pool.submit(measure, task))
        if not waiting:
            return
        finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from _outcomes(finished)
    yield from _outcomes(wait(waiting).done)


def _outcomes(finished: Iterable[Future[Outcome | None]]) -> Iterator[Outcome]:
    for future in finished:
        if (outcome := future.result()) is not None:
            yield outcome
