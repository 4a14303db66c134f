"""The most memory that a process has held."""

from __future__ import annotations

import resource
from pathlib import Path

__all__ = ["peak_kilobytes"]


def peak_kilobytes() -> int:
    """Return the peak of this process's resident memory since its program was started.

    What `getrusage` says starts from the size of the process that started this one: a large one would hide all growth.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
