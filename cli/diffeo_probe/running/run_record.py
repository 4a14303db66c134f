"""What a run leaves about itself in its folder: run.toml, which `--config` takes, and log.txt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from diffeo_probe.terminal import printable
from resnet_diffeo_probe.errors import DiffeoProbeError

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.events import Progress

__all__ = ["LOG", "RUN", "Log", "write_run"]

#: The options of a run, as a file of settings.
RUN = "run.toml"
#: What happened in a run, one event a line; a run that goes on with an earlier one adds to it.
LOG = "log.txt"

_HEADER = (
    "# The options of this analysis, to be given back with --config {name}; a flag wins over a line here.\n"
)


class Log:
    """Lines of text with the time in UTC. A log that cannot be written stops no measurement.

    A context manager: an error that ends the run is its last line, if there was a line before.

    Args:
        folder: the output folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self._told = 0
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun and error is not None:
            what = error.what if isinstance(error, DiffeoProbeError) else str(error)
            self.line(f"ended by {type(error).__name__}: {what}")

    def line(self, event: str) -> None:
        """Add an event; names in it may hold anything and are made printable."""
        self._begun = True
        text = printable(event).replace("\n", " ")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        # written and closed at once: what is in the file survives however the process ends
        with suppress(OSError), self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{now} {text}\n")

    def measured(self, progress: Progress) -> None:
        """Add what failed, and how far the run is at every tenth of the way."""
        if progress.problem is not None and not progress.reused:
            self.line(f"{progress.unit} at {progress.input}: {progress.problem}")
        tenth = 10 * progress.done // progress.total
        if tenth > self._told:
            self._told = tenth
            self.line(f"{progress.done} of {progress.total} measurements (units × inputs)")


def write_run(options: Mapping[str, Any], folder: Path) -> None:
    """Write the options that are set as run.toml.

    An option whose text is not valid UTF-8, as a file's name may be, cannot stand in TOML: a comment names it.

    Args:
        options: by name, `_` for `-`. None and empty lists are left out.
        folder: the output folder.

    Raises:
        OutputError: the file cannot be written.
    """
    import tomli_w

    from resnet_diffeo_probe.analysis.result.whole_file import write_whole

    lines = [_HEADER.format(name=RUN)]
    for key, value in options.items():
        if value is None or value == []:
            continue
        line = tomli_w.dumps({key: value})
        try:
            line.encode()
        except UnicodeEncodeError:
            line = f"# {key} is not valid UTF-8 and cannot stand in this file\n"
        lines.append(line)
    write_whole(folder / RUN, "".join(lines))
