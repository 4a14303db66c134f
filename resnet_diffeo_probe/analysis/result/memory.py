"""How much memory this machine has, and how much of it is free."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

__all__ = ["available_memory", "physical_memory"]

_CONTAINER = Path("/sys/fs/cgroup")


def physical_memory() -> float:
    """Return the bytes of memory of this machine, or of the container that the process runs in."""
    try:
        total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not on every system
        total = float(8 << 30)
    limit = _of_container("memory.max")
    return total if limit is None else min(total, limit)


def available_memory() -> float:
    """Return the bytes that this process may still take before the machine swaps, or its container ends it."""
    free = float(psutil.virtual_memory().available)
    limit, used = _of_container("memory.max"), _of_container("memory.current")
    return free if limit is None or used is None else max(0.0, min(free, limit - used))


def _of_container(name: str) -> float | None:
    try:
        number = (_CONTAINER / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return float(number) if number.isdecimal() else None
