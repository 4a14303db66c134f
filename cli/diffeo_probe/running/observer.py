"""Who hears of a running analysis: the screen and the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from diffeo_probe.running.run_record import Log
from diffeo_probe.terminal import hint
from resnet_diffeo_probe.analysis.events import Events, Progress

if TYPE_CHECKING:
    from diffeo_probe.terminal import Display
    from resnet_diffeo_probe.analysis.planning.plan import Plan

__all__ = ["Observer"]


class Observer(Events):
    """Tells of a run on the screen and in the log.

    Args:
        show: the progress on the screen.
        log: of the run.
        announce: is given the plan.
    """

    def __init__(self, show: Display, log: Log, announce: Callable[[Plan], None]) -> None:
        self._show = show
        self._log = log
        self._announce = announce

    def planned(self, plan: Plan) -> None:
        """Announce the plan."""
        self._announce(plan)

    def discarded(self, reasons: list[str]) -> None:
        """Tell why what was measured before cannot be used."""
        self.note(f"what was measured before cannot be used, and all is measured again: {'; '.join(reasons)}")

    def measured(self, progress: Progress) -> None:
        """Tell of one more measured pair."""
        self._show.measured(progress)
        self._log.measured(progress)

    def begun(self, step: str, operations: float | None) -> None:
        """Log that a step begins; what it may take, where that is known."""
        about = "" if operations is None else f", about {operations:.2g} operations"
        self._log.line(f"{step}: begun{about}")

    def proven(self, unit: str) -> None:
        """Tell that the proofs of a unit were looked for."""
        self._show.proven(unit)
        self._log.line(f"{unit}: proofs searched")

    def reused(self, step: str, part: str) -> None:
        """Tell that a part of what follows the measuring was computed by an earlier run."""
        if step == "proofs":
            self._show.proven(part, reused=True)
        self._log.line(f"{step}, {part}: taken from the earlier run")

    def recomputed(self, step: str, part: str, reason: str) -> None:
        """Log that a part was there and is computed again; there may be many, the screen gets their number."""
        self._log.line(f"{step}, {part}: computed again: {reason}")

    def note(self, text: str) -> None:
        """Tell something in words."""
        hint(text)
        self._log.line(text)
