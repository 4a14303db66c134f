"""The output folder: found or refused before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path

from resnet_diffeo_probe.errors import OutputError

__all__ = ["prepare_folder"]


def prepare_folder(out: str | None, model: Path, *, overwrite: bool) -> Path:
    """Create the output folder and make sure that it can be written.

    Args:
        out: what the user asked for; None: a new folder named after the model.
        model: the model file.
        overwrite: whether results of an earlier analysis may be replaced.

    Raises:
        OutputError: it cannot be written, or holds the results of another analysis.
    """
    folder = Path(out).expanduser() if out is not None else _new_folder(model)
    if (folder / "result.json").exists() and not overwrite:
        raise OutputError(
            f"{folder} holds the results of an earlier analysis",
            why="they would be replaced",
            fix="--overwrite to replace them, or another --out",
            code="output-exists",
        )
    probe = folder / ".diffeo-probe-write-test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the output folder {folder} cannot be written",
            why=error.strerror or str(error),
            fix="--out with a folder of your own",
            code="output-not-writable",
        ) from error
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
