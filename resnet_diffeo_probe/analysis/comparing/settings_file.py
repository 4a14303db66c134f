"""A TOML file of a user's settings: read within limits, and errors that name the file, the key and the line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.nearest import near_files, nearest

__all__ = ["MAX_BYTES", "SettingsFile", "kind_of", "read_settings"]

#: Largest file of settings that is read; a written one has a few hundred bytes.
MAX_BYTES = 1 << 16
# a key of thousands of dotted parts would keep the parser busy for minutes: its time grows with their square
_LONGEST_LINE = 2000
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A parsed file.

    Attributes:
        path: where it lies.
        text: what it says.
        table: its keys and values.
    """

    path: Path
    text: str
    table: Mapping[str, Any]

    def place(self, key: str, table: tuple[str, ...] = ()) -> str:
        """Return `FILE, line N` of a key, or `FILE` where it is written in another way than `key = value`."""
        here: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped = line.strip()
            if stripped.startswith("["):
                here = _header(stripped)
                if (*table, key) == here:
                    return f"{self.path}, line {number}"
            elif here == table and _key(stripped) == key:
                return f"{self.path}, line {number}"
        return str(self.path)

    def refuse_unknown(self, key: str, known: Iterable[str], table: tuple[str, ...] = ()) -> NoReturn:
        """Raise the error of a key that does not exist.

        Raises:
            ConfigurationError: always; with the nearest of the known keys.
        """
        known = sorted(known)
        near = nearest(key, known)
        raise ConfigurationError(
            f"{self.place(key, table)}: there is no key '{key}'",
            why=f"the keys are {', '.join(known)}",
            fix=f"did you mean {near}?" if near else "take the line out",
            code="unknown-key",
        )

    def refuse_value(self, key: str, problem: str, fix: str, table: tuple[str, ...] = ()) -> NoReturn:
        """Raise the error of a value that makes no sense.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(f"{self.place(key, table)}: {key} {problem}", fix=fix, code="wrong-value")


def read_settings(path: Path | str) -> SettingsFile:
    """Read a TOML file.

    Raises:
        ConfigurationError: it is missing, no plain file, too large, or not TOML; the message says which and where.
    """
    path = Path(path).expanduser()
    try:
        if not path.is_file():
            found = "is not a file" if path.exists() else "does not exist"
            near = next(iter(near_files(path, ending=".toml")), None)
            raise ConfigurationError(
                f"{path} {found}",
                fix=f"did you mean {near}?" if near else "give a TOML file",
                code="settings-unreadable",
            )
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ConfigurationError(
                f"{path} is too large for a file of settings: {size:,} bytes, the limit is {MAX_BYTES:,}",
                fix="give a TOML file with a few keys",
                code="settings-unreadable",
            )
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ConfigurationError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            fix="give a TOML file that you may read",
            code="settings-unreadable",
        ) from error
    try:
        text = raw.decode("utf-8-sig")
        if any(len(line) > _LONGEST_LINE for line in text.splitlines()):
            raise ValueError(f"a line has more than {_LONGEST_LINE} characters")
        table = tomllib.loads(text)
        if any(abs(number) > _LARGEST for number in _whole_numbers(table)):
            raise ValueError("a whole number is beyond what TOML holds, 64 bits")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text"
    except (
        ValueError
    ) as error:  # also of a number with thousands of digits, which is none of TOML's own errors
        problem = str(error)
    except RecursionError:
        problem = "it is nested too deep"
    else:
        return SettingsFile(path, text, table)
    raise ConfigurationError(
        f"{path} is not TOML: {problem}",
        why="a line of settings reads key = value; text stands in quotes",
        fix='mend that line, for example: budget = "quick"',
        code="settings-not-toml",
    )


def _whole_numbers(node: Any) -> Iterator[int]:
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _whole_numbers(child)
    elif isinstance(node, int):
        yield node


def kind_of(value: Any) -> str:
    """Return what TOML calls the type of a value."""
    for kind, name in (
        (bool, "a boolean"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _header(line: str) -> tuple[str, ...]:
    """Return the keys of `[a.b]`."""
    try:
        node: Any = tomllib.loads(line)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ("",)  # the line of an array that is written over several lines
    keys = []
    while isinstance(node, dict) and node:
        key, node = next(iter(node.items()))
        keys.append(key)
    return tuple(keys)


def _key(line: str) -> str | None:
    head, found, _ = line.partition("=")
    return head.strip().strip("\"'") if found else None
