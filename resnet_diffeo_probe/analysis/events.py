"""What an analysis tells while it runs, and whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_diffeo_probe.finding import Finding

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.planning.plan import Plan

__all__ = ["Events", "Progress"]


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
        reused: whether it was measured by an earlier run.
        problem: why some quantity has no value because something failed, else None.
    """

    unit: str
    input: str
    done: int
    total: int
    sign: Finding | None
    seconds: float
    reused: bool = False
    problem: str | None = None


class Events:
    """Whoever hears of an analysis: every method does nothing, and a subclass overrides those that it cares for.

    All are called in the thread that called `analyze`; what one of them raises ends the analysis.
    """

    def planned(self, plan: Plan) -> None:
        """Hear of the plan, once, before anything runs or is written."""

    def discarded(self, reasons: list[str]) -> None:
        """Hear why measurements that the store keeps of earlier runs are of no use here, in words."""

    def measured(self, progress: Progress) -> None:
        """Hear of one more unit at one more input."""

    def begun(self, step: str, operations: float | None) -> None:
        """Hear that a step after the measuring begins; `operations` are expected of it, None: not known."""

    def proven(self, unit: str) -> None:
        """Hear that the proofs of a unit were looked for."""

    def reused(self, step: str, part: str) -> None:
        """Hear of a part of a step that an earlier run computed, and that is not computed again."""

    def recomputed(self, step: str, part: str, reason: str) -> None:
        """Hear of a part that an earlier run computed, and why it is computed again."""
