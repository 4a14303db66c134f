"""What is shown in a terminal: errors, hints, progress. Text from files is made harmless first."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from resnet_diffeo_probe.errors import DiffeoProbeError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from resnet_diffeo_probe.analysis.events import Progress

__all__ = ["counting", "hint", "print_error", "printable", "progress_display"]

# Seconds before a count is shown at all, and between two pictures of it.
_PATIENCE, _REDRAWN = 1.0, 0.1


def printable(text: str) -> str:
    """Return `text` with control, bidirectional and unassigned characters written as escapes.

    A file name may hold an escape sequence that would repaint the terminal; line breaks stay.
    """
    return "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else f"\\u{ord(c):04x}" for c in text)


def print_error(error: DiffeoProbeError) -> None:
    """Print what happened, why, and the next step, to standard error."""
    click.echo(f"{_styled('error', 'red')} [{error.code}]: {printable(error.what)}", err=True)
    if error.why:
        click.echo(f"  why: {printable(error.why)}", err=True)
    if error.fix:
        click.echo(f"  fix: {printable(error.fix)}", err=True)


def hint(text: str) -> None:
    """Print a remark to standard error, where it does not mix with results."""
    click.echo(f"{_styled('note', 'cyan')}: {printable(text)}", err=True)


def _styled(word: str, colour: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    return word if plain else click.style(word, fg=colour, bold=True)


class Display(Protocol):
    """Something that shows progress."""

    def measured(self, progress: Progress) -> None:
        """Show one more measured pair."""

    def proven(self, unit: str, *, reused: bool = False) -> None:
        """Show that the proofs of a unit were looked for, or taken from an earlier run."""


@contextmanager
def progress_display() -> Iterator[Display]:
    """Show progress: a bar on a terminal, elsewhere a line at every tenth of the way."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, no_color="NO_COLOR" in os.environ or None)
    with Bar(*columns, console=console, transient=True) as bar:
        yield _Bars(bar)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows `3 of 8 {what}` in one line of a terminal, and only after a second; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    due, width = time.monotonic() + _PATIENCE, 0

    def show(done: int, total: int) -> None:
        nonlocal due, width
        if (now := time.monotonic()) < due:
            return
        due = now + _REDRAWN
        line = f"{done} of {total} {what}"
        sys.stderr.write(f"\r{line.ljust(width)}")
        sys.stderr.flush()
        width = len(line)

    try:
        yield show
    finally:
        if width:
            sys.stderr.write(f"\r{' ' * width}\r")
            sys.stderr.flush()


class _Bars:
    """A bar for the measures, then one for the proofs, whose number is that of the measured units."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._measuring = bar.add_task("preparing the units", total=None)
        self._proving: TaskID | None = None
        self._units: set[str] = set()

    def measured(self, progress: Progress) -> None:
        """Move the first bar."""
        if progress.sign is not None:
            self._units.add(progress.unit)
        name = _escaped(progress.unit)
        self._bar.update(self._measuring, total=progress.total, completed=progress.done, description=name)
        if progress.done == progress.total:
            self._proving = self._bar.add_task("searching for proofs", total=len(self._units))

    def proven(self, unit: str, *, reused: bool = False) -> None:
        """Move the second bar."""
        if self._proving is not None:
            self._bar.update(self._proving, advance=1, description=f"proofs: {_escaped(unit)}")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))


class _Lines:
    """Lines for a log; inputs go through all units one after the other, so units end together: pairs are counted."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._told = 0

    def measured(self, progress: Progress) -> None:
        """Print a line at every tenth of the way."""
        tenth = 10 * progress.done // progress.total
        if tenth > self._told:
            self._told = tenth
            seconds = time.monotonic() - self._started
            click.echo(
                f"{progress.done} of {progress.total} measurements (units × inputs) after {seconds:.0f} s",
                err=True,
            )

    def proven(self, unit: str, *, reused: bool = False) -> None:
        """Print a line for each unit."""
        seconds = time.monotonic() - self._started
        what = "taken from the earlier run" if reused else "searched"
        click.echo(f"{printable(unit)}: proofs {what}, after {seconds:.0f} s", err=True)
