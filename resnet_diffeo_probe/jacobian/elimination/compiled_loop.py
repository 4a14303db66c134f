"""The innermost loop of the engine, compiled by numba where that is installed (the extra `fast`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

__all__ = ["Loop", "compiled_loop"]

Loop: TypeAlias = Callable[..., None]


@cache
def compiled_loop() -> Loop | None:
    """Return `_add_entries` compiled, None where numba is not installed or does not suit the installed numpy."""
    try:
        from numba import njit  # noqa: PLC0415 - slow to import, and may be absent
    except ImportError:
        return None
    try:
        return njit(nogil=True, cache=True)(_add_entries)
    except RuntimeError:  # no folder can be written where machine code would be kept: compiled once a process
        return njit(nogil=True)(_add_entries)


def _add_entries(out: Any, origin: Any, rows: Any, pixels: Any, active: Any, entries: Any) -> None:
    """Add D_A (R L)[A, A] to a dense block.

    Args:
        out: the block.
        origin: the active row and column in its corner.
        rows: the active rows from, to.
        pixels: columns are taken at pixels from, to in the order of elimination.
        active: pixel and channel of each active coordinate; how many come before each pixel; D_A.
        entries: the first pixel, where each pixel's entries begin, their columns ascending, their blocks' ids, the
            blocks.
    """
    place, channel, before, scale = active
    first, start, columns, ids, blocks = entries
    for r in range(rows[0], rows[1]):
        at = place[r] - first
        e, end = start[at], start[at + 1]
        while e < end:  # the first column that is asked for
            middle = (e + end) // 2
            if columns[middle] < pixels[0]:
                e = middle + 1
            else:
                end = middle
        end = start[at + 1]
        into, factor = out[r - origin[0]], scale[r]
        while e < end and columns[e] < pixels[1]:
            row = blocks[ids[e], channel[r]]
            for k in range(before[columns[e]], before[columns[e] + 1]):
                into[k - origin[1]] += row[channel[k]] * factor
            e += 1
