"""The images in a folder: found, sorted, thinned out, labelled by their class folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from resnet_diffeo_probe.inputs.image import UnreadableImageError, recognize

__all__ = ["Candidates", "evenly_spaced", "find_images", "label_of"]


@dataclass(frozen=True)
class Candidates:
    """The images of a folder.

    Attributes:
        names: paths relative to the folder, '/' between their parts, sorted.
        skipped: (name, reason) of the files that are no images.
        classes: the class folders, sorted, if every image lies in one; else None.
    """

    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    classes: tuple[str, ...] | None


def find_images(folder: Path) -> Candidates:
    """Return every file below the folder whose header is that of an image, whatever its suffix.

    Hidden folders are left out; folders behind links are followed once.
    """
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for name in sorted(_files(folder)):
        path = folder / name
        if (
            not path.is_file()
        ):  # a pipe would make the reader wait for ever; a broken link has nothing to read
            skipped.append((name, "not a regular file"))
            continue
        try:
            recognize(path)
        except UnreadableImageError as error:
            skipped.append((name, str(error)))
        else:
            names.append(name)
    classes: tuple[str, ...] | None = None
    if names and all("/" in name for name in names):
        classes = tuple(sorted({label_of(name) for name in names}))
    return Candidates(tuple(names), tuple(skipped), classes)


def label_of(name: str) -> str:
    """Return the class folder of an image: the first part of its relative path."""
    return name.partition("/")[0]


def evenly_spaced(total: int, count: int | None) -> list[int]:
    """Return the indices ⌊i · total / count⌋ for i < count; all of them if there are no more than `count`."""
    if count is None or count >= total:
        return list(range(total))
    return [i * total // count for i in range(count)]


def _files(folder: Path) -> list[str]:
    """Return the relative paths of all files below the folder."""
    found: list[str] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # links can lead back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = Path(root).relative_to(folder)
        found.extend((base / name).as_posix() for name in files)
    return found
