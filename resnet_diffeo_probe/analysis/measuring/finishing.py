"""Work in threads that an interrupt ends well: what is in progress is finished, nothing more is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from resnet_diffeo_probe.analysis.measuring.executors.bounded import carry_out
from resnet_diffeo_probe.analysis.measuring.interrupt import Stop
from resnet_diffeo_probe.analysis.measuring.worker import one_thread

__all__ = ["finish_each"]

Given = TypeVar("Given")
Found = TypeVar("Found")


def finish_each(
    jobs: Iterable[Given],
    work: Callable[[Given], Found],
    done: Callable[[Found], None],
    *,
    threads: int,
    stop: Stop,
) -> bool:
    """Work on jobs in threads of one thread of linear algebra each.

    Args:
        jobs: all of them.
        work: carries out one of them, in a thread.
        done: is given each result as it comes, in the calling thread.
        threads: how many.
        stop: through which an interrupt is heard of.

    Returns:
        Whether all were finished: not after an interrupt, unless it came with the last ones.

    Raises:
        KeyboardInterrupt: at the second interrupt.
    """
    waiting, stopping, finished = list(jobs), False, 0

    def end() -> None:
        nonlocal stopping
        stopping = True

    def attempt(job: Given) -> tuple[Found] | None:
        # asked here and not by cancelling futures: a signal handler must not take locks
        return None if stopping else (work(job),)

    def receive() -> None:
        nonlocal finished
        for (found,) in results:
            finished += 1
            done(found)

    with (
        one_thread(),
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        stop.finishing(end),
    ):
        results = carry_out(waiting, attempt, pool, workers=threads, stopping=lambda: stopping)
        try:
            receive()
        except KeyboardInterrupt:
            if stopping:
                raise
            end()
            receive()
    return finished == len(waiting)
