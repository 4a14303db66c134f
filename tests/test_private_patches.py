"""Tests patch public seams. Where a private name is patched all the same, it stands here with its reason, once a name.

A patch of a private name holds a test to how something is done, and breaks when that is done better.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
#: Lowered, a small and quick input meets a limit that stands at gigabytes, minutes or thousands of coordinates. No user
#: sets these, and an argument for each would be one for tests alone.
LIMITS = {
    "_ATTEMPTS",  # deaths of a worker process
    "_BLOCK",  # bytes of a file read at a time
    "_COSTLY_GIGAFLOPS",
    "_DELAYED_ROWS",  # pivots that may wait
    "_DENSE",  # up to here dense linear algebra; 0: the other way is taken for what a dense one can check
    "_DENSE_DIMENSION",
    "_DENSE_EIGEN",
    "_DENSE_SINGULAR",
    "_MAPPED_UNITS",
    "_MARGIN",
    "_MAX_FLOPS",
    "_MOST_BYTES",  # of a kept part
    "_MOST_CELLS",  # of a page
    "_MOST_CHARACTERS",  # of all pictures
    "_MOST_ENTRIES",
    "_MOST_UNPACKED",  # bytes of an archive
    "_MOVING_TILE_ROWS",
    "_MUCH_MEMORY",
    "_OPERATIONS",
    "_PAIRED_UNITS",
    "_PAUSED",  # seconds that a cluster may be full
    "_PIECE",
    "_SPARSE_ORDER",
    "_TILE_ROWS",
}
#: Functions, each with why nothing public would do.
FUNCTIONS = {
    "_rows_of": "how many blocks a file was read in is seen from inside alone",
    "_run_epoch": "an interrupt in the middle of an epoch, which no callback is called in",
}


def patched(text: str) -> Iterator[str]:
    """Yield the name of every private attribute that a test module replaces."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "setattr"
        ):
            for given in node.args[:2]:
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    name = given.value.rpartition(".")[2]
                    if name.startswith("_") and not name.startswith("__"):
                        yield name


def test_every_private_name_that_is_patched_has_its_reason() -> None:
    found = Counter(name for path in TESTS.rglob("test_*.py") for name in patched(path.read_text("utf-8")))
    assert set(found) == LIMITS | set(FUNCTIONS)


def test_a_private_patch_is_seen() -> None:
    text = 'monkeypatch.setattr(room, "_LIMIT", 1); patch.setattr("a.b._other", 2); patch.setattr(room, "public", 3)'
    assert list(patched(text)) == ["_LIMIT", "_other"]
