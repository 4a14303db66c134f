"""Tasks carried out on a GPU: a unit at several inputs at a time, their eliminations batched.

Only determinants are found together (`jacobian.batched_determinant`); everything else is measured input by input, by
threads that share the device. What a batch finds differs from what an input finds by itself in rounding alone, and no
batch is made on the CPU. No GPU has run this: the tests do on the CPU, and neither the speed nor the memory that a
device takes was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby, islice
from time import perf_counter
from types import TracebackType
from typing import Self

import torch

from resnet_diffeo_probe.analysis.measuring.admission import Admission, NotAdmittedError
from resnet_diffeo_probe.analysis.measuring.executors.bounded import carry_out
from resnet_diffeo_probe.analysis.measuring.pair import BegunPair
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.measuring.worker import Seen, threads_of_linear_algebra
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.result.memory import physical_memory
from resnet_diffeo_probe.jacobian import Determinant
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.batched_determinant import alike, determinants, together_bytes
from resnet_diffeo_probe.units import Discovery

__all__ = ["OnDevice"]

# Beyond so many inputs the launches are shared by enough of them.
_MOST_INPUTS = 16
# Of the machine's memory, for what went through the units at the inputs in work.
_SHARE_OF_ACTIVATIONS = 0.25


class OnDevice:
    """Threads of this process that share a GPU; an `analysis.tasks.Executor`.

    A batch takes at most the memory that the settings allow. Where one fails, for want of memory or for whatever else,
    it is halved, down to single inputs, and the failure of a single input is a row with its reason.

    Args:
        discovery: the network, in the dtype of the plan, on the CPU.
        plan: what to measure, prepared: its units are eliminated where `UnitPlan.accelerated` says, or on the CPU.
        inputs: at most so many are in work at a time; None: as the memory for their activations allows.
    """

    def __init__(self, discovery: Discovery, plan: Plan, *, inputs: int | None = None) -> None:
        self._discovery, self._plan = discovery, plan
        self._units = {unit_plan.unit.name: unit_plan for unit_plan in plan.units}
        self._inputs = _inputs_at_a_time(plan) if inputs is None else inputs
        self._room = Admission(plan.settings.memory)
        self._stack = ExitStack()
        self._stopping = False

    def __enter__(self) -> Self:
        threads, each = self._plan.settings.threads, self._plan.settings.threads_per_worker
        self._stack.enter_context(threads_of_linear_algebra(each))
        self._pool = self._stack.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(each,))
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._stack.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Carry out tasks, those of several inputs at a time; see `Executor.run`."""
        by_input = (list(own) for _, own in groupby(tasks, key=lambda task: task.input))
        while not self._stopping and (window := list(islice(by_input, self._inputs))):
            by_unit: dict[str, dict[str, Seen]] = {}
            for own in window:
                seen = self._forward(own[0])
                for task in own:
                    by_unit.setdefault(task.unit, {})[task.input] = seen
            for unit, passes in by_unit.items():
                yield from self._measure(self._units[unit], passes)

    def stop(self) -> None:
        """Finish what is in progress and begin nothing; see `Executor.stop`."""
        self._stopping = True

    def _forward(self, task: Task) -> Seen:
        try:
            return self._discovery.run(task.x)[1]
        except Exception as error:  # one input must not take the others with it
            return error

    def _measure(self, unit_plan: UnitPlan, passes: dict[str, Seen]) -> Iterator[Outcome]:
        """Measure a unit at several inputs; where it has to be, or has to be alone, at one after another."""
        name, alone = unit_plan.unit.name, []
        begun = (
            BegunPair(self._plan, unit_plan, at, seen if isinstance(seen, Exception) else seen[name])
            for at, seen in passes.items()
            if not self._stopping
        )
        for batch in self._batches(begun):
            if len(batch) > 1 and not self._stopping:
                yield from self._batch(batch)
            else:
                alone += batch
        yield from self._carry_out([(pair, None) for pair in alone])

    def _batches(self, begun: Iterable[BegunPair]) -> Iterator[list[BegunPair]]:
        """Yield pairs of one unit that are eliminated together, as many as the memory allows."""
        open_batches: dict[tuple[int, int, bool], list[BegunPair]] = {}
        for pair in begun:
            lin, keep = pair.linearized, pair.keeps_factors
            if lin is None or keep is None:
                yield [pair]
                continue
            batch = open_batches.setdefault((*alike(lin), keep), [])
            if batch and together_bytes([*_linearized(batch), lin], keep=keep) > self._plan.settings.memory:
                yield list(batch)
                batch.clear()
            batch.append(pair)
        yield from open_batches.values()

    def _batch(self, batch: Sequence[BegunPair]) -> Iterator[Outcome]:
        started = perf_counter()
        found = self._determinants(batch)
        share = (perf_counter() - started) / len(batch)
        for outcome in self._carry_out(list(zip(batch, found, strict=True))):
            yield replace(outcome, seconds=outcome.seconds + share)

    def _determinants(self, batch: Sequence[BegunPair]) -> list[Determinant | None]:
        """Return the determinants of a batch; None for an input that has to be tried by itself."""
        if len(batch) == 1:
            return [None]
        keep, seed = bool(batch[0].keeps_factors), self._plan.settings.seed
        try:
            return [*determinants(_linearized(batch), seed=seed, keep=keep)]
        except Exception:  # an input that spoils a batch must not take the others with it
            half = len(batch) // 2
        # out of the handler: until here the traceback has held the memory of the failed batch
        torch.cuda.empty_cache()
        return [*self._determinants(batch[:half]), *self._determinants(batch[half:])]

    def _carry_out(self, pairs: Iterable[tuple[BegunPair, Determinant | None]]) -> Iterator[Outcome]:
        return carry_out(
            pairs,
            self._finish,
            self._pool,
            workers=self._plan.settings.threads,
            stopping=lambda: self._stopping,
        )

    def _finish(self, given: tuple[BegunPair, Determinant | None]) -> Outcome | None:
        pair, found = given
        if self._stopping:
            return None
        if found is not None:
            return pair.measure(found)
        try:
            with self._room.admit(pair.needs, given_up=lambda: self._stopping):
                return pair.measure()
        except NotAdmittedError:
            return None


def _linearized(batch: Sequence[BegunPair]) -> list[Linearization]:
    return [pair.linearized for pair in batch if pair.linearized is not None]


def _inputs_at_a_time(plan: Plan) -> int:
    """Return of how many inputs the activations are held."""
    numbers = sum(
        math.prod(unit_plan.unit.input_shape) + 3 * math.prod(unit_plan.unit.output_shape)
        for unit_plan in plan.units
    )
    each = numbers * getattr(torch, plan.settings.dtype).itemsize
    return max(1, min(_MOST_INPUTS, int(_SHARE_OF_ACTIVATIONS * physical_memory() / max(1, each))))
