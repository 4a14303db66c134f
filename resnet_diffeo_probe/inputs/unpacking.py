"""How much a zip archive would become in memory, told from its directory."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["is_bomb", "unpacked_size"]

# PyTorch stores without compression; whoever packs weights again gains a tenth. Small archives may be anything.
_MOST_UNPACKED = 2**28
_MOST_TIMES = 20


def unpacked_size(path: Path) -> int:
    """Return the bytes of all members together, as the archive's directory announces them.

    Raises:
        zipfile.BadZipFile, OSError, ValueError, NotImplementedError: the directory is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def is_bomb(unpacked: int, packed: int) -> bool:
    """Return whether an archive of `packed` bytes was built to fill the memory: PyTorch does not compress."""
    return unpacked > max(_MOST_UNPACKED, _MOST_TIMES * packed)
