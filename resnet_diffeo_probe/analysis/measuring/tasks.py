"""Work that can be done anywhere: one unit at one input, and whoever carries such tasks out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from torch import Tensor

from resnet_diffeo_probe.analysis.planning.outcome import Outcome

__all__ = ["Executor", "Task"]


@dataclass(frozen=True, eq=False)
class Task:
    """One unit to be measured at one input. It depends on no other task.

    Attributes:
        unit: the unit's name.
        input: the input's name.
        x: the network's input, (1, *shape), on the CPU in the dtype of the plan.
    """

    unit: str
    input: str
    x: Tensor


class Executor(Protocol):
    """Whoever carries out tasks: threads, processes, machines.

    A context manager: on leaving it, every thread or process that it started has ended.
    """

    def __enter__(self) -> Self:
        """Start the workers, or make them ready to start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; work in progress is given up."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Carry out tasks, in whatever order they finish.

        Args:
            tasks: taken as they are needed: a few more than there are workers, never all of them. Those of one input
                one after another, so that they share its forward pass. Consumed in the calling thread.

        Yields:
            For every task that was taken one outcome, also where it failed: then with the reason for every quantity.

        Raises:
            DiffeoProbeError: no worker can be made ready.
        """

    def stop(self) -> None:
        """End `run` early: tasks in progress are finished and yielded, those waiting are dropped without an outcome.

        May be called from a signal handler, any number of times.
        """
