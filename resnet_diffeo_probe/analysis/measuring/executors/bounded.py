"""Tasks pulled as workers become free, so that a run of millions holds a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["carry_out"]

Given = TypeVar("Given")
Found = TypeVar("Found")


def carry_out(
    tasks: Iterable[Given],
    measure: Callable[[Given], Found | None],
    pool: ThreadPoolExecutor,
    *,
    workers: int,
    stopping: Callable[[], bool],
) -> Iterator[Found]:
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
    waiting: set[Future[Found | None]] = set()
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


def _outcomes(finished: Iterable[Future[Found | None]]) -> Iterator[Found]:
    for future in finished:
        if (outcome := future.result()) is not None:
            yield outcome
