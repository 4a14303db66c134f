"""The tables of the measurements on disk: made in a new file, compared with those of a file that is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["create_tables", "transaction"]

# Columns without a type keep a number as it comes: one of type REAL would turn -0.0 into 0.0 and 1 into 1.0.
_MEASUREMENTS = (
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, model TEXT NOT NULL, settings TEXT NOT NULL, "
    "version TEXT NOT NULL, UNIQUE (model, settings, version))",
    "CREATE TABLE pairs (id INTEGER PRIMARY KEY, study INTEGER NOT NULL REFERENCES studies (id), "
    "unit TEXT NOT NULL, input TEXT NOT NULL, input_sha256 TEXT NOT NULL, nonnegative NOT NULL, seconds NOT NULL, "
    "allowed_bytes NOT NULL, UNIQUE (study, unit, input))",
    "CREATE TABLE measurements (pair INTEGER NOT NULL REFERENCES pairs (id), quantity TEXT NOT NULL, value, "
    "evidence TEXT NOT NULL, status TEXT NOT NULL, error, low, high, dtype TEXT, seed, reason TEXT, "
    "PRIMARY KEY (pair, quantity)) WITHOUT ROWID",
    "CREATE VIEW measured AS SELECT model, settings, version, unit, input, input_sha256, quantity, value, evidence, "
    "status, error, low, high, dtype, seed, reason, seconds FROM measurements JOIN pairs ON pair = pairs.id "
    "JOIN studies ON study = studies.id",
)
# What follows the measuring; a file without it was written before there was such a table.
_STEPS = (
    "CREATE TABLE steps (study INTEGER NOT NULL REFERENCES studies (id), step TEXT NOT NULL, part TEXT NOT NULL, "
    "basis TEXT NOT NULL, content TEXT NOT NULL, arrays BLOB NOT NULL, sha256 TEXT NOT NULL, "
    "PRIMARY KEY (study, step, part))",
)


def create_tables(connection: sqlite3.Connection) -> bool:
    """Make the tables that an empty file, or one of before there were steps, lacks.

    Args:
        connection: in autocommit mode.

    Returns:
        Whether the file now has the tables of this version; a file with others is left as it is.
    """
    found = _tables(connection)
    missing = {frozenset(): (*_MEASUREMENTS, *_STEPS), _tables_of(_MEASUREMENTS): _STEPS}.get(found, ())
    if missing:
        with transaction(connection):
            for statement in missing:
                connection.execute(statement)
    return bool(missing) or found == _tables_of((*_MEASUREMENTS, *_STEPS))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the block does, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk rolls back by itself
            connection.execute("ROLLBACK")
        raise


def _tables(connection: sqlite3.Connection) -> frozenset[tuple[Any, ...]]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _tables_of(statements: tuple[str, ...]) -> frozenset[tuple[Any, ...]]:
    memory = sqlite3.connect(":memory:")
    try:
        for statement in statements:
            memory.execute(statement)
        return _tables(memory)
    finally:
        memory.close()
