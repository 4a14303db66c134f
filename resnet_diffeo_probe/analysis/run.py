"""Carry out a plan: activations of one input at a time, then its units in parallel.

A measurement depends on its unit and its input alone: it runs on one thread whatever the number of workers, so the
number of workers does not change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from resnet_diffeo_probe.analysis.pair import Outcome, measure_pair
from resnet_diffeo_probe.analysis.plan import Plan, UnitPlan
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.units import Discovery, UnitActivations

__all__ = ["Measured", "Progress", "one_thread", "run_plan"]


@dataclass(frozen=True)
class Progress:
    """One unit measured at one input.

    Attributes:
        unit: its name.
        input: the input's name.
        done: measurements of a (unit, input) pair so far.
        total: pairs planned.
        sign: the finding, None if it was not asked for.
        seconds: that the pair took.
    """

    unit: str
    input: str
    done: int
    total: int
    sign: Finding | None
    seconds: float


@dataclass
class Measured:
    """What was measured.

    Attributes:
        rows: unit -> input -> quantity -> finding.
        nonnegative: unit -> input -> whether the unit's input has no negative coordinate.
        seconds: unit -> time of its measurements.
        interrupted: whether the user stopped the run.
    """

    rows: dict[str, dict[str, dict[str, Finding]]] = field(default_factory=dict)
    nonnegative: dict[str, dict[str, bool]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False


def run_plan(
    discovery: Discovery,
    plan: Plan,
    inputs: Tensor,
    names: tuple[str, ...],
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Measured:
    """Measure every planned unit at every input.

    An error in one measurement is a row with its reason; the others go on. An interrupt (Ctrl-C) ends the run after
    the measurements in progress; what was measured is returned.

    Args:
        discovery: the network, in the dtype of the plan.
        plan: what to measure.
        inputs: (N, *shape), in the dtype of the plan.
        names: of the inputs.
        progress: called after each (unit, input) pair, in the calling thread.
    """
    measured = Measured(
        rows={p.unit.name: {} for p in plan.units},
        nonnegative={p.unit.name: {} for p in plan.units},
        seconds={p.unit.name: 0.0 for p in plan.units},
    )
    active = [p for p in plan.units if p.not_run is None]
    total = len(active) * len(names)
    done = 0

    def keep(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        _record(measured, outcome)
        if progress is not None:
            sign = outcome.findings.get("sign")
            progress(Progress(outcome.unit, outcome.input, done, total, sign, outcome.seconds))

    workers = plan.settings.threads
    with one_thread(), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        pending: set[Future[Outcome]] = set()
        finished: set[Future[Outcome]] = set()
        try:
            for task in _tasks(discovery, active, inputs, names):
                # a queue of a few tasks keeps the workers busy without holding the activations of many inputs
                while len(pending) > 2 * workers:
                    finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in finished:
                        keep(future.result())
                pending.add(pool.submit(measure_pair, plan, *task))
            for future in as_completed(pending):
                keep(future.result())
        except KeyboardInterrupt:
            measured.interrupted = True
            for future in pending:
                future.cancel()
            for future in finished | pending:
                if not future.cancelled():
                    _record(measured, future.result())
    _order_rows(measured, names)
    return measured


def _record(measured: Measured, outcome: Outcome) -> None:
    if outcome.input in measured.rows[outcome.unit]:
        return
    measured.rows[outcome.unit][outcome.input] = outcome.findings
    measured.nonnegative[outcome.unit][outcome.input] = outcome.nonnegative
    measured.seconds[outcome.unit] += outcome.seconds


def _tasks(
    discovery: Discovery, active: list[UnitPlan], inputs: Tensor, names: tuple[str, ...]
) -> Iterator[tuple[UnitPlan, str, UnitActivations | Exception]]:
    for index, name in enumerate(names):
        seen: dict[str, UnitActivations] | Exception
        try:
            _, seen = discovery.run(inputs[index : index + 1])
        except (RuntimeError, ValueError) as error:
            seen = error
        for unit_plan in active:
            yield unit_plan, name, seen if isinstance(seen, Exception) else seen[unit_plan.unit.name]


def _order_rows(measured: Measured, names: tuple[str, ...]) -> None:
    """Put the rows in the order of the inputs, whichever worker was first."""
    for unit, rows in measured.rows.items():
        measured.rows[unit] = {name: rows[name] for name in names if name in rows}


@contextmanager
def one_thread() -> Iterator[None]:
    """Give each worker one thread of its own for linear algebra; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # scipy's own BLAS would start as many threads as there are cores for each worker, and they would spin
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
