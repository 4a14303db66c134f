"""A step after the measuring, what it works on, and how a row of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.measuring.interrupt import Steps
from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.step_names import StepNames
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps
from resnet_diffeo_probe.bijectivity import Verdict
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.models import LoadedModel
from resnet_diffeo_probe.units import Discovery

__all__ = ["Context", "Step", "Taken", "take_steps"]

Found = TypeVar("Found")


@dataclass(eq=False)
class Context:
    """What the steps work on, and what those before have found: `context[PROOFS]` is what that step gave.

    Attributes:
        loaded: the user's model.
        batch: the inputs.
        discovery: the network in the user's own arithmetic.
        exact: in the dtype of the plan.
        plan: what was measured.
        measured: what came of it; proofs add to it.
        execution: through which interrupts are heard of and events are told.
        judge: makes the verdicts once the proofs are there.
        kept: parts of steps that an earlier run computed.
    """

    loaded: LoadedModel
    batch: Inputs
    discovery: Discovery
    exact: Discovery
    plan: Plan
    measured: Measured
    execution: Execution
    judge: Callable[[Context], Sequence[Verdict]]
    kept: KeptSteps = field(init=False)
    _found: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = KeptSteps(self.execution.store, self.execution.events)

    def __getitem__(self, step: Step[Found]) -> Found:
        return cast(Found, self._found[step.names.words])

    def __setitem__(self, step: Step[Found], found: Found) -> None:
        self._found[step.names.words] = found

    @property
    def settings(self) -> Settings:
        """The settings of the plan."""
        return self.plan.settings

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Two a unit, then two for the network; to be asked for after the proofs."""
        return tuple(self.judge(self))


@dataclass(frozen=True)
class Step(Generic[Found]):
    """One step after the measuring.

    Attributes:
        names: in words, in the result, in the store, in the report.
        wanted: whether the settings ask for it.
        run: takes the step. It may raise `Unfinished` with what an interrupt left of it.
        nothing: makes what stands for it where it is not wanted or left out.
        values: the values of the result's keys, of what was found; None: that itself, under the only key.
        cost: floating-point operations that are expected, None where they are not known beforehand.
        brief: whether it is over at once, and therefore taken after an interrupt too.
    """

    names: StepNames
    wanted: Callable[[Settings], bool]
    run: Callable[[Context], Found]
    nothing: Callable[[], Found]
    values: Callable[[Found], tuple[Any, ...]] | None = None
    cost: Callable[[Context], float | None] = lambda _context: None
    brief: bool = False

    def entries(self, found: Found) -> dict[str, Any]:
        """Return what becomes of the step in the result."""
        values = (found,) if self.values is None else self.values(found)
        return dict(zip(self.names.keys, values, strict=True))


@dataclass(frozen=True)
class Taken:
    """What came of the steps.

    Attributes:
        entries: of the result, in the order of the steps.
        left_out: the steps that were wanted and not finished, in words.
        interrupted: whether the user ended the run, be it before the steps.
    """

    entries: dict[str, Any]
    left_out: list[str]
    interrupted: bool


def take_steps(steps: Iterable[Step[Any]], context: Context) -> Taken:
    """Take the steps one after the other; an interrupt leaves out the one that it comes in and those after it.

    Raises:
        KeyboardInterrupt: at the second interrupt.
        StoreError: the store cannot be read or written.
    """
    stop, entries = context.execution.stop, dict[str, Any]()
    following = Steps(stop, interrupted=context.measured.interrupted)

    def begin(step: Step[Found]) -> Found:
        context.execution.events.begun(step.names.words, step.cost(context))
        return step.run(context)

    def take(step: Step[Found]) -> Found:
        wanted = step.wanted(context.settings)
        if step.brief:
            return begin(step) if wanted else step.nothing()
        return following.take(step.names.words, lambda: begin(step), step.nothing(), wanted=wanted)

    # between two steps an interrupt is remembered, and the next one is left out
    with stop.finishing(lambda: None):
        for step in steps:
            context[step] = take(step)
            entries |= step.entries(context[step])
    # some steps end early by themselves
    interrupted = context.measured.interrupted or stop.requested or following.interrupted
    return Taken(entries, following.left_out, interrupted)
