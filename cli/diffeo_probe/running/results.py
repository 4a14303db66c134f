"""What an analysis leaves: the files in its folder, and its verdicts on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffeo_probe import terminal
from diffeo_probe.running.run_record import LOG

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.analyze import Analysis
    from resnet_diffeo_probe.analysis.measuring.run import Reuse
    from resnet_diffeo_probe.analysis.store.kept_steps import StepReuse

__all__ = ["reuse_in_words", "step_reuse_in_words", "tell", "write"]


def write(analysis: Analysis, folder: Path) -> None:
    """Write result.json, the pairs that prove something, units.csv and report.html.

    Raises:
        OutputError: the folder cannot be written.
    """
    from resnet_diffeo_probe.report import write_folder

    write_folder(analysis.result, folder, save_witnesses=analysis.save_witnesses)


def tell(analysis: Analysis, folder: Path) -> None:
    """Print the verdicts and where the report is: the results, and so to standard output."""
    if correct := analysis.result["inputs"]["accuracy"]:
        click.echo(
            f"accuracy on these inputs: {correct['correct']} of {correct['total']} "
            f"({correct['correct'] / correct['total']:.0%})"
        )
    of_units = [v for v in analysis.verdicts if v.unit is not None and v.map == "sum"]
    width = max((len(terminal.printable(str(v.unit))) for v in of_units), default=0)
    for verdict in of_units:
        name = terminal.printable(str(verdict.unit)).ljust(width)
        click.echo(f"{name}  {_STATES[verdict.state.value]:<22}  {terminal.printable(verdict.sentence)}")
    for verdict in analysis.verdicts:
        if verdict.unit is None:
            click.echo(terminal.printable(verdict.sentence))
    click.echo(f"report: {terminal.printable(str(folder / 'report.html'))}")


def reuse_in_words(reuse: Reuse) -> str:
    """Return what a run that goes on with another took over, and what it measured again and why."""
    parts = [f"{reuse.reused} measurements (units × inputs) were there"]
    if reuse.changed:
        parts.append(f"{reuse.changed} measured again because the input of that name is another one now")
    if reuse.retried:
        parts.append(f"{reuse.retried} tried again because they had failed, or for want of memory")
    parts.append(f"{reuse.new} new")
    return "; ".join(parts)


def step_reuse_in_words(reuse: StepReuse) -> str:
    """Return which parts of what follows the measuring were reused, and which could not be."""

    def counted(steps: Mapping[str, int]) -> str:
        return ", ".join(f"{step} ({count})" for step, count in steps.items())

    reused = (
        f"of what follows the measuring, taken from the earlier run: {counted(reuse.reused) or 'nothing'}"
    )
    return (
        f"{reused}; computed again, {LOG} says why: {counted(reuse.recomputed)}"
        if reuse.recomputed
        else reused
    )


_STATES = {
    "certified_injective": "CERTIFIED INJECTIVE",
    "not_injective_proven": "NOT INJECTIVE (PROVEN)",
    "no_violation_found": "NO VIOLATION FOUND",
    "not_applicable": "NOT APPLICABLE",
    "undetermined": "UNDETERMINED",
    "not_run": "NOT RUN",
}
