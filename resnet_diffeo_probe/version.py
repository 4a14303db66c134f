"""Which program this is, where every floor may read it: the package itself announces names of the floors above."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from uuid import uuid4

__all__ = ["__version__", "program", "source_digest"]

__version__ = "0.2.0"


def program() -> str:
    """Return what a stored number names as the program that made it: the version, and the source it was made by.

    Between two releases the version stays while the engine changes: a number is as old as the source that made it.
    """
    return f"diffeo-probe {__version__}, source {_own_digest()[:16]}"


def source_digest(package: Path) -> str:
    """Return the SHA-256 of a package's Python files, by their places in it and their bytes.

    Args:
        package: its folder.

    Returns:
        64 hexadecimal digits. Where it holds no source, as a package that was shipped compiled, they are random: what
        was made by it is then never taken for the work of another process.
    """
    digest = hashlib.sha256()
    files = sorted((path.relative_to(package).as_posix(), path) for path in package.rglob("*.py"))
    for place, path in files:
        content = path.read_bytes()
        digest.update(f"{place}\0{len(content)}\0".encode("utf-8", "surrogatepass"))
        digest.update(content)
    return digest.hexdigest() if files else uuid4().hex * 2


@cache
def _own_digest() -> str:
    return source_digest(Path(__file__).parent)
