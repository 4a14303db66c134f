"""Carry out a plan: tasks out, outcomes in, each committed before the next is looked at.

A measurement depends on its unit and its input alone, so neither the number of workers nor what was measured in an
earlier run changes a bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from resnet_diffeo_probe.analysis.events import Events, Progress
from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.measuring.held_once import HeldOnce
from resnet_diffeo_probe.analysis.measuring.pair import OtherFunctionError, measure_pair
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.store.fingerprint import input_fingerprint
from resnet_diffeo_probe.analysis.store.store import Kept, Store
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.jacobian.measures.measure import JACOBIAN_QUANTITIES
from resnet_diffeo_probe.units import Discovery
from resnet_diffeo_probe.units.faithful import Faithfulness

__all__ = ["Measured", "Reuse", "run_plan"]

_FAILED = (Status.NOT_RUN, Status.ERROR)


@dataclass
class Reuse:
    """Pairs of unit and input, by where their measurements come from.

    Attributes:
        reused: measured by an earlier run.
        changed: measured again because the input of that name is another one.
        retried: measured again because they failed, or may do better with more memory.
        new: measured for the first time.
    """

    reused: int = 0
    changed: int = 0
    retried: int = 0
    new: int = 0


@dataclass
class Measured:
    """What was measured.

    Attributes:
        rows: unit -> input -> quantity -> finding.
        nonnegative: unit -> input -> whether the unit's input has no negative coordinate.
        seconds: unit -> time of its measurements.
        interrupted: whether the user stopped the run.
        reuse: what of it is from an earlier run.
        notes: sentences on the network that only a look at every input tells.
        digests: input -> fingerprint, equal for equal inputs.
    """

    rows: dict[str, dict[str, dict[str, Finding]]] = field(default_factory=dict)
    nonnegative: dict[str, dict[str, bool]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    reuse: Reuse = field(default_factory=Reuse)
    notes: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


def run_plan(
    discovery: Discovery,
    plan: Plan,
    inputs: Inputs,
    execution: Execution | None = None,
    *,
    faithful: Faithfulness | None = None,
) -> Measured:
    """Measure every planned unit at every input.

    An error in one measurement is a row with its reason; the others go on. An interrupt (Ctrl-C) ends the run after
    the measurements in progress; what was measured is returned.

    Args:
        discovery: the network, in the dtype of the plan.
        plan: what to measure, prepared.
        inputs: read one at a time.
        execution: who measures, where it is kept, and who hears of it; its store is begun. None: threads of this
            process, nowhere, nobody.
        faithful: says at which inputs the user's own module computes something else; None: it is not asked.

    Raises:
        StoreError: the store cannot be read or written.
        DiffeoProbeError: no worker can be made ready.
    """
    execution = Execution() if execution is None else execution
    run, stop = _Run(plan, inputs, execution, faithful), execution.stop
    with execution.executor(discovery, plan) as workers:
        outcomes = workers.run(run.tasks())
        with stop.finishing(workers.stop):
            try:
                for outcome in outcomes:
                    run.add(outcome)
            except KeyboardInterrupt:
                run.measured.interrupted = True
                workers.stop()
                run.events = Events()  # what raised it hears of no more
                for outcome in outcomes:
                    run.add(outcome)
    run.measured.interrupted |= stop.requested
    run.order_rows()
    run.measured.notes = () if faithful is None else faithful.notes()
    return run.measured


class _Run:
    """What is left of a plan, and what came of it."""

    def __init__(
        self, plan: Plan, inputs: Inputs, execution: Execution, faithful: Faithfulness | None
    ) -> None:
        names = [p.unit.name for p in plan.units]
        self.measured = Measured({n: {} for n in names}, {n: {} for n in names}, dict.fromkeys(names, 0.0))
        self._plan = plan
        self._inputs = inputs
        self._store = execution.store
        self._faithful = faithful
        self.events = execution.events
        self._active = [p for p in plan.units if p.not_run is None]
        self._total = len(self._active) * len(inputs)
        self._done = 0
        self._held = HeldOnce()
        # only of inputs whose tasks are out
        self._digests: dict[str, tuple[str, int]] = {}
        self._allowed = plan.settings.memory

    def tasks(self) -> Iterator[Task]:
        """Yield what is not in the store, input by input; what is there is recorded on the way."""
        dtype = getattr(torch, self._plan.settings.dtype)
        for index, name in enumerate(self._inputs.names):
            try:
                x = self._inputs.part(index, index + 1)
            except DiffeoProbeError as error:  # a file that went away takes no other input with it
                for unit_plan in self._active:
                    self._record(measure_pair(self._plan, unit_plan, name, error), reused=False)
                continue
            missing = self._active
            digest = self.measured.digests[self._held.word(name)] = input_fingerprint(x)
            doubts = {} if self._faithful is None else self._faithful.doubts(x)
            if self._store is not None:
                missing = [p for p in self._active if not self._reuse(self._store, p, name, digest)]
                if missing:
                    self._digests[name] = digest, len(missing)
            x = x.to(dtype)
            for unit_plan in missing:
                if (doubt := doubts.get(unit_plan.unit.name)) is not None:
                    self.add(measure_pair(self._plan, unit_plan, name, OtherFunctionError(doubt)))
                    continue
                yield Task(unit_plan.unit.name, name, x)

    def add(self, outcome: Outcome) -> None:
        """Commit and record what a task gave."""
        if self._store is not None:
            digest, left = self._digests.pop(outcome.input)
            if left > 1:
                self._digests[outcome.input] = digest, left - 1
            self._store.keep(outcome, digest, self._allowed)
        self._record(outcome, reused=False)

    def order_rows(self) -> None:
        """Put the rows in the order of the inputs, whichever worker was first."""
        for unit, rows in self.measured.rows.items():
            self.measured.rows[unit] = {n: rows[n] for n in self._inputs.names if n in rows}

    def _reuse(self, store: Store, unit_plan: UnitPlan, name: str, digest: str) -> bool:
        kept, reuse = store.find(unit_plan.unit.name, name), self.measured.reuse
        if kept is None:
            reuse.new += 1
        elif kept.input_sha256 != digest:
            reuse.changed += 1
        elif _worth_retrying(kept, self._allowed):
            reuse.retried += 1
        else:
            reuse.reused += 1
            self._record(kept.outcome, reused=True)
            return True
        return False

    def _record(self, outcome: Outcome, *, reused: bool) -> None:
        measured, name = self.measured, self._held.word(outcome.input)
        measured.rows[outcome.unit][name] = self._held.row(outcome.findings)
        measured.nonnegative[outcome.unit][name] = outcome.nonnegative
        measured.seconds[outcome.unit] += outcome.seconds
        self._done += 1
        failed = (f for f in outcome.findings.values() if f.status in _FAILED)
        problem = next((f.reason or f.status.value for f in failed), None)
        sign = outcome.findings.get("sign")
        place = (outcome.unit, outcome.input, self._done, self._total)
        self.events.measured(Progress(*place, sign, outcome.seconds, reused, problem))


def _worth_retrying(kept: Kept, allowed: float) -> bool:
    """Return whether measuring again may give what an earlier run did not: after a failure, or with more memory."""
    findings = kept.outcome.findings
    states = {f.status for f in findings.values()}
    if Status.NOT_RUN in states:
        # where a determinant was estimated for want of memory or of a method, that stands until there is more
        nothing = all(f.value is None for q, f in findings.items() if q in JACOBIAN_QUANTITIES)
        return nothing or allowed > kept.allowed_bytes
    return Status.ERROR in states
