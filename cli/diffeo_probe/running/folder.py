"""The output folder: found or refused before anything is computed."""

from __future__ import annotations

import re
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

from resnet_diffeo_probe.errors import ConfigurationError, OutputError

__all__ = ["FILES", "Earlier", "prepare_folder"]

#: What an analysis writes and does not replace unasked.
FILES = ("report.html", "result.json", "units.csv", "measurements.sqlite")
# what it writes beside these, makes for a moment or clears away
_PROBE = ".diffeo-probe-write-test"
_OTHERS = ("run.toml", "log.txt", "witnesses", ".diffeo-probe.lock", _PROBE)


class Earlier(Enum):
    """What becomes of an analysis that is in the folder already."""

    REFUSE = auto()
    GO_ON = auto()
    REPLACE = auto()

    @classmethod
    def of(cls, out: str | None, *, resume: bool, overwrite: bool) -> Earlier:
        """Return what becomes of an earlier analysis in the output folder.

        Raises:
            ConfigurationError: the options contradict each other.
        """
        if resume and overwrite:
            raise ConfigurationError(
                "--resume and --overwrite are given together",
                why="one keeps what was measured, the other throws it away",
                fix="leave one of the two out",
            )
        if resume and out is None:
            raise ConfigurationError(
                "--resume does not say where to go on",
                why="without --out every run has a new folder",
                fix="--out with the folder of the run that was interrupted",
            )
        if resume:
            return cls.GO_ON
        return cls.REPLACE if overwrite else cls.REFUSE


def prepare_folder(out: str | None, model: Path, earlier: Earlier) -> Path:
    """Make sure that the output folder can be written, and leave nothing behind.

    Args:
        out: what the user asked for; None: a new folder named after the model.
        model: the model file.
        earlier: what becomes of results that are there.

    Returns:
        The folder, which may not exist yet.

    Raises:
        OutputError: it cannot be written, holds the results of another analysis, none to go on with, or
            links in their place.
    """
    folder = Path(out).expanduser() if out is not None else _new_folder(model)
    if links := [name for name in (*FILES, *_OTHERS) if (folder / name).is_symlink()]:
        raise OutputError(
            f"{folder / links[0]} is a link",
            why="an analysis writes into its folder and nowhere else",
            fix="remove the link, or another --out",
            code="output-not-writable",
        )
    there = [name for name in FILES if (folder / name).exists()]
    if there and earlier is Earlier.REFUSE:
        raise OutputError(
            f"{folder} holds the results of an earlier analysis",
            why=f"{', '.join(there)} would be replaced",
            fix="--overwrite to replace them, --resume to go on with what was measured, or another --out",
            code="output-exists",
        )
    if earlier is Earlier.GO_ON and FILES[-1] not in there:
        raise OutputError(
            f"{folder} has no {FILES[-1]}: there is nothing to go on with",
            why="measurements are kept from the first finished one on",
            fix="leave --resume out, or give the --out of the run that was interrupted",
            code="nothing-to-resume",
        )
    # not at the top: what only asks for help would wait for it
    from resnet_diffeo_probe.analysis.result.whole_file import writing

    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    probe = folder / _PROBE
    with writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        finally:
            # an error further on must not leave an empty folder behind
            with suppress(OSError):
                for part in missing:
                    part.rmdir()
    return folder


def _new_folder(model: Path) -> Path:
    # the name of a file may hold anything; that of our folder holds letters, digits, '.', '_' and '-'
    stem = re.sub(r"[^\w.-]+", "_", model.stem).strip("._") or "model"
    first = Path(f"diffeo-probe-{stem}")
    if not first.exists():
        return first
    number = 2
    while (candidate := Path(f"{first}-{number}")).exists():
        number += 1
    return candidate
