"""Carry out a plan: activations of one input at a time, then its units in parallel.

A measurement depends on its unit and its input alone: it runs on one thread whatever the number of workers, so the
number of workers does not change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from resnet_diffeo_probe.analysis.executors import InThreads
from resnet_diffeo_probe.analysis.pair import Outcome
from resnet_diffeo_probe.analysis.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.tasks import Task
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.units import Discovery

__all__ = ["Measured", "Progress", "run_plan"]


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

    with InThreads(discovery, plan) as executor:
        outcomes = executor.run(_tasks(active, inputs, names))
        try:
            for outcome in outcomes:
                keep(outcome)
        except KeyboardInterrupt:
            measured.interrupted = True
            executor.stop()
            for outcome in outcomes:
                _record(measured, outcome)
    _order_rows(measured, names)
    return measured


def _record(measured: Measured, outcome: Outcome) -> None:
    if outcome.input in measured.rows[outcome.unit]:
        return
    measured.rows[outcome.unit][outcome.input] = outcome.findings
    measured.nonnegative[outcome.unit][outcome.input] = outcome.nonnegative
    measured.seconds[outcome.unit] += outcome.seconds


def _tasks(active: list[UnitPlan], inputs: Tensor, names: tuple[str, ...]) -> Iterator[Task]:
    for index, name in enumerate(names):
        for unit_plan in active:
            yield Task(unit_plan.unit.name, name, inputs[index : index + 1])


def _order_rows(measured: Measured, names: tuple[str, ...]) -> None:
    """Put the rows in the order of the inputs, whichever worker was first."""
    for unit, rows in measured.rows.items():
        measured.rows[unit] = {name: rows[name] for name in names if name in rows}
