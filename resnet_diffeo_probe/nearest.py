"""The word or the file that a slip was meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

__all__ = ["near_files", "nearest", "why_not_found"]

# Of two words this share of the letters, in order: a letter left out, doubled or exchanged stays far above it.
_ALIKE = 0.6
# Of any two files more: a folder may hold many short names, and a wrong offer is worse than none.
_ALIKE_FILES = 0.7
# Names of a folder that are looked through; a folder of a data set may have millions.
_LOOKED_THROUGH = 10_000
_OFFERED = 3
# A path drops one of the two slashes of an address.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like this one, the first of equals; None where none is like it."""
    ranked = _ranked(word, known)
    return ranked[0] if ranked else None


def near_files(path: Path, *, ending: str | None = None) -> list[Path]:
    """Return up to three entries of a path's folder whose names are like the path's, the most like it first.

    The stems are compared: of two short names that end alike the end is most of what is alike.

    Args:
        path: what does not exist.
        ending: of the entries that can be meant, e.g. `".toml"`; None: any.
    """
    try:
        names = [entry.name for entry, _ in zip(path.parent.iterdir(), range(_LOOKED_THROUGH), strict=False)]
    except OSError:
        return []
    by_stem: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (Path(name).suffix != path.suffix, name)):
        if ending not in (None, Path(name).suffix):
            continue
        by_stem.setdefault(Path(name).stem, []).append(name)
    alike = _ALIKE_FILES if ending is None else _ALIKE
    near = [name for stem in _ranked(path.stem, by_stem, alike) for name in by_stem[stem]]
    return [path.parent / name for name in near[:_OFFERED]]


def why_not_found(path: Path, otherwise: str) -> tuple[str, str]:
    """Return why a path that does not exist does not, and what to do: for the two lines of an error.

    Args:
        path: what was given.
        otherwise: what to do where no name is like it.
    """
    folder = path.parent
    if _ADDRESS.match(str(path)):
        return "it is an address, and nothing is downloaded", "download it, and give the path of the file"
    if not folder.is_dir():
        return (
            f"there is no folder {folder}",
            "check the path for a typing error; it is taken from the folder the command runs in",
        )
    near = near_files(path)
    fix = f"did you mean {' or '.join(map(str, near))}?" if near else otherwise
    return f"nothing of that name lies in {folder.resolve()}", fix


def _ranked(word: str, known: Iterable[str], alike: float = _ALIKE) -> list[str]:
    matcher = SequenceMatcher(b=word.lower())
    found = []
    for place, candidate in enumerate(known):
        matcher.set_seq1(candidate.lower())
        # the first two are bounds of the third that cost little
        if all(ratio() >= alike for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)):
            found.append((-matcher.ratio(), place, candidate))
    return [candidate for _, _, candidate in sorted(found)]
