"""What may go wrong with the measurements on disk, as errors that a user can act on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_diffeo_probe.analysis.result.schema import ResultError
from resnet_diffeo_probe.errors import OutputError

__all__ = ["StoreError", "explained"]


class StoreError(OutputError):
    """The measurements on disk cannot be used, or none can be added."""

    code = "store"


@contextmanager
def explained(path: Path, verb: str) -> Iterator[None]:
    """Turn what may go wrong with the file into a `StoreError`.

    Args:
        path: of the file.
        verb: what is done to it, as in `cannot be written`.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, verb, error) from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be {verb}: {error.strerror or error}",
            fix="--out with a folder of your own",
            code="output-not-writable",
        ) from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        ResultError,
    ) as error:
        raise StoreError(
            f"{path} holds what is no measurement: {getattr(error, 'what', error)}",
            why="it was changed by another program, or is damaged",
            fix="--overwrite to measure again, or another --out",
            code="store-unusable",
        ) from error


def _of_sqlite(path: Path, verb: str, error: sqlite3.Error) -> StoreError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return StoreError(
            f"{path} cannot be {verb}: {error}",
            why="the disk is full or fails; what was committed before stays",
            fix="make room, then go on with --resume",
            code="disk-full",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_BUSY")):
        return StoreError(
            f"{path} cannot be {verb}: {error}",
            why="the file or its folder is read-only, or another program holds it",
            fix="--out with a folder of your own",
            code="output-not-writable",
        )
    return StoreError(
        f"{path} cannot be {verb}: {error}",
        why="it is damaged or was not written by diffeo-probe",
        fix="--overwrite to measure again, or another --out",
        code="store-unusable",
    )
