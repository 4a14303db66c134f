"""The text of `result.json`: written row by row, read block by block, so that neither holds all of it at once.

A row of a table is a line, which takes half the bytes of indented JSON and shows a difference as what it is. A file in
this layout is read some megabytes of rows at a time, and words that rows share are held once. JSON in any other layout
is read as a whole, which gives the same result and takes more memory.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from resnet_diffeo_probe.analysis.result.error import ResultError

__all__ = ["parse_file", "pieces"]

Result = dict[str, Any]

_TABLE = "measurements"
_START, _END, _BETWEEN = b'\n"%s": [\n' % _TABLE.encode(), b"\n]", b",\n"
_BLOCK = 4 << 20
# What stands before the rows has some kilobytes, and a row some hundred bytes.
_MOST_BEFORE, _LONGEST_LINE = 64 << 20, 16 << 20
_SHARED = ("unit", "input", "quantity", "evidence", "status", "dtype", "reason")

# A parsed result takes five times its text; text made of empty lists and dictionaries forty times.
_MOST_TIMES = 12
_MUCH_MEMORY = 1 << 30


class _OtherLayoutError(Exception):
    """The rows do not stand one a line."""


class _Gap(NamedTuple):
    """A place in a text from which on everything stands so many bytes and lines further on in the file."""

    place: int
    size: int
    lines: int


def pieces(result: Result) -> Iterator[str]:
    """Yield the text of a result piece by piece: of a table a line a row."""
    # ensure_ascii also carries names that are not valid UTF-8 (lone surrogates) through a file
    dense = json.JSONEncoder(allow_nan=False, ensure_ascii=True, separators=(",", ":")).encode
    wide = json.JSONEncoder(allow_nan=False, ensure_ascii=True, indent=1).encode
    for place, (key, value) in enumerate(result.items()):
        yield f"{',' if place else '{'}\n{dense(key)}: "
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            yield from (f"{',' if row else '['}\n{dense(entry)}" for row, entry in enumerate(value))
            yield "\n]"
        else:
            yield wide(value)
    yield "\n}\n"


def parse_file(path: Path, *, free: float) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of it.
        free: bytes of memory that it may take.

    Raises:
        OSError: it cannot be read.
        ResultError: it is not JSON, holds numbers that JSON has not, or would take more memory than there is.
    """
    room = _Room(path, path.stat().st_size, free)
    with path.open("rb") as file:
        try:
            return _by_rows(file, room)
        except _OtherLayoutError:
            file.seek(0)
            # bytes and text, before anything of it is an object
            room.require(room.size, 2 * room.size)
            raw = file.read()
    memory = _memory_of(raw)
    room.refuse_brackets(len(raw), memory)
    room.require(len(raw), memory)
    result = _parsed(raw, path, _Gap(0, 0, 0))
    rows = result.get(_TABLE) if isinstance(result, dict) else None
    if isinstance(rows, list):
        _share(rows, {})
    return result


class _Room:
    """The memory that a file may take while it is read."""

    def __init__(self, path: Path, size: int, free: float) -> None:
        self.path, self.size, self._free = path, size, free

    def require(self, read: int, memory: float) -> None:
        """Refuse a file of which so many bytes took so much memory, where all of it would take more than there is."""
        expected = memory * max(1.0, self.size / max(read, 1))
        if expected > self._free:
            raise ResultError(
                f"{self.path} would take about {expected / 2**30:.1f} GiB of memory, "
                f"and {self._free / 2**30:.1f} GiB are free",
                why=f"it has {self.size / 2**20:,.0f} MiB",
                fix="end other programs or read it on a machine with more memory; or analyse fewer inputs or units at "
                "a time",
                code="result-too-large",
            )

    def refuse_brackets(self, read: int, memory: int) -> None:
        """Refuse a file that would take many times more memory than its own size."""
        if memory > max(_MUCH_MEMORY, _MOST_TIMES * read):
            raise ResultError(
                f"{self.path} would take {memory / 2**30:.1f} GiB of memory, and has {read / 2**20:.0f} MiB",
                why="it is made of brackets and commas rather than of numbers",
                fix="give the result.json that `diffeo-probe analyze` wrote",
                code="result-too-large",
            )


def _by_rows(file: BinaryIO, room: _Room) -> Any:
    """Read a file whose rows stand one a line; what stands around them is parsed with a mark in their place."""
    before, rest = _before_rows(file)
    rows: list[Any] = []
    words: dict[str, str] = {}
    size, lines, text, held = 0, 0, 0, 0
    for block, after in _blocks(file, rest, room.path, before.count(b"\n") + 3):
        size, lines, rest = size + len(block) + len(_BETWEEN), lines + block.count(b"\n") + 1, after
        text += _memory_of(block)
        room.refuse_brackets(size, text)
        found = _rows_of(block)
        held += _memory_held(block, found) + _share(found, words)
        room.require(len(before) + size, held)
        rows += found
    text += _memory_of(before) + _memory_of(rest)
    room.refuse_brackets(room.size, text)
    mark = secrets.token_hex(16)
    around = b'%s\n"%s": "%s"' % (before, _TABLE.encode(), mark.encode())
    result = _parsed(
        around + rest, room.path, _Gap(len(around), room.size - len(around) - len(rest), lines + 1)
    )
    if not isinstance(result, dict) or result.get(_TABLE) != mark:  # the rows of something within
        raise _OtherLayoutError
    result[_TABLE] = rows
    return result


def _before_rows(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return what stands before the first row, and the beginning of the rows."""
    head = b""
    while (at := head.find(_START)) < 0:
        block = file.read(_BLOCK)
        if not block or len(head) > _MOST_BEFORE:
            raise _OtherLayoutError
        head += block
    return head[:at], head[at + len(_START) :]


def _blocks(file: BinaryIO, rest: bytes, path: Path, line: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield rows as text without the commas at both ends, each with what follows the rows: nothing but at the last."""
    while (end := rest.find(_END)) < 0:
        cut = rest.rfind(_BETWEEN)
        if cut >= 0 and len(rest) >= _BLOCK:
            yield rest[:cut], b""
            line += rest.count(b"\n", 0, cut) + 1
            rest = rest[cut + len(_BETWEEN) :]
        block = file.read(_BLOCK)
        if not block:
            _refuse_unended(rest, path, line)
        if len(rest) > _LONGEST_LINE:
            raise _OtherLayoutError
        rest += block
    after = rest[end + len(_END) :]
    yield rest[:end], after + file.read()


def _refuse_unended(rest: bytes, path: Path, line: int) -> None:
    if b"]" in rest:  # the table may end on the line of its last row
        raise _OtherLayoutError
    last = line + rest.count(b"\n")
    raise ResultError(
        f"{path} is cut short: line {last}: the measurements do not end",
        why="the run that wrote it was interrupted, or the copy was",
        fix="make it again with `diffeo-probe analyze`",
        code="result-truncated",
    )


def _rows_of(block: bytes) -> list[Any]:
    try:
        rows: list[Any] = json.loads(f"[{block.decode()}]", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # read as a whole the file says where
        raise _OtherLayoutError from error
    if not rows:  # two commas, or none
        raise _OtherLayoutError
    return rows


def _share(rows: list[Any], words: dict[str, str]) -> int:
    """Let rows hold equal words once; return the bytes of those that were not there yet."""
    new = 0
    for row in rows:
        if type(row) is dict:
            for key in _SHARED:
                word = row.get(key)
                if type(word) is str:
                    kept = words.setdefault(word, word)
                    if kept is word:
                        new += 60 + len(word)
                    else:
                        row[key] = kept
    return new


def _parsed(raw: bytes, path: Path, gap: _Gap) -> Any:
    """Parse a text that was a file, but for what is left out at a gap."""
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        place = error.start + (gap.size if error.start >= gap.place else 0)
        raise ResultError(
            f"{path} is not JSON: byte {place} is not UTF-8 text",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-not-json",
        ) from error
    except json.JSONDecodeError as error:
        # a file cut short fails at its very end
        truncated = not raw.strip() or error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        line = error.lineno + (gap.lines if error.pos >= gap.place else 0)
        raise ResultError(
            f"{path} is {'cut short' if truncated else 'not JSON'}: "
            f"line {line}, column {error.colno}: {error.msg}",
            why="the run that wrote it was interrupted, or the copy was" if truncated else None,
            fix="make it again with `diffeo-probe analyze`",
            code="result-truncated" if truncated else "result-not-json",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ResultError(
            f"{path} is not a result: {error}",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-not-json",
        ) from error


def _memory_of(raw: bytes) -> int:
    """Return about how many bytes the parsed JSON takes, from its text and its number of values."""
    # CPython: a small dictionary has 232 bytes, a list 56 and its place in another 8, a number 24 and its place
    return 2 * len(raw) + 240 * raw.count(b"{") + 64 * raw.count(b"[") + 60 * raw.count(b",")


def _memory_held(block: bytes, rows: list[Any]) -> int:
    """Return about how many bytes rows take whose words are held elsewhere, and their places in a table of a report."""
    if block.count(b"{") > len(rows) or block.count(b"[") > len(rows):  # not the flat objects that rows are
        return _memory_of(block)
    return 100 * len(rows) + 50 * block.count(b",")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; infinite and undefined numbers are a status")
