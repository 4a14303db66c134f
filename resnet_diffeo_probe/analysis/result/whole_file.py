"""A file that is there whole or not at all: written to a temporary name in its folder, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnet_diffeo_probe.errors import OutputError

__all__ = ["write_whole", "writing"]


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write text as UTF-8 with line ends `\\n`.

    Args:
        path: of the file.
        text: all of it, or its pieces in order: these are written as they are made, and never held together.

    Raises:
        OutputError: the file cannot be written (an older one stays as it was).
    """  # noqa: D301 - the two characters are meant
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n", buffering=1 << 20) as file:
            file.writelines((text,) if isinstance(text, str) else text)
        temporary.replace(path)
    except BaseException as error:  # an interrupt too leaves nothing behind
        with suppress(OSError, ValueError):  # the name itself may be what is wrong, by its length for one
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError | ValueError):  # ValueError: a null character in the name
            raise
        raise OutputError(
            f"{path} cannot be written: {getattr(error, 'strerror', None) or error}",
            fix="choose a name in a folder that exists and is yours",
        ) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what may go wrong with writing into an `OutputError`."""
    try:
        yield
    except OSError as error:
        taken = isinstance(error, FileExistsError)
        raise OutputError(
            f"the output folder {folder} cannot be written",
            why="a file of that name is there already" if taken else error.strerror or str(error),
            fix="--out with a folder of your own",
            code="output-not-writable",
        ) from error
