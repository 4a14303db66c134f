"""A store of measurements, and what another program or a hand could do to it."""

from __future__ import annotations

import math
import random
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import torch
from json_mutation import EVIL_TEXTS

from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.result.schema import ResultError, validate_row
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.kept_steps import Content, KeptSteps
from resnet_diffeo_probe.analysis.store.store import FILE, Store
from resnet_diffeo_probe.finding import Evidence, Finding, Status

__all__ = ["edited", "read_store", "stores"]

STUDY = Conditions("0" * 64, '{"seed": 0}', "diffeo-probe 1")
UNITS, INPUTS = ("layer1.0", "layer1.1", "layer2.0"), ("cat/0.png", "dog/1.png")
FINDINGS = {
    "sign": Finding(-1, Evidence.EXACT, dtype="float64"),
    "logabsdet": Finding(-12.5, Evidence.EXACT, error=1e-9, dtype="float64"),
    "residual_ratio": Finding(0.25, Evidence.ESTIMATED, interval=(0.2, 0.3), seed=7),
    "sigma_min": Finding.missing(Status.NOT_RUN, "no room"),
}
CONTENT = Content(
    {"layers": [["conv", 0.1 + 0.2, None]], "reason": "é\ud800"}, {"x": torch.tensor([0.1, -0.0])}
)
_SQL = (
    "DROP VIEW measured", "DROP TABLE measurements", "DROP TABLE steps", "DELETE FROM studies", "DELETE FROM pairs",
    "CREATE TABLE evil (x)", "CREATE INDEX evil ON pairs (seconds)",
    "CREATE TRIGGER evil AFTER INSERT ON pairs BEGIN DELETE FROM measurements; END",
    "CREATE TRIGGER evil BEFORE INSERT ON studies BEGIN SELECT load_extension('evil'); END",
    "DROP VIEW measured; CREATE VIEW measured AS SELECT * FROM measurements",
    "DROP TABLE studies; CREATE VIEW studies AS SELECT 1 AS id, 'm' AS model, 's' AS settings, 'v' AS version",
    "ALTER TABLE pairs ADD COLUMN evil DEFAULT 3", "PRAGMA user_version = 99", "PRAGMA journal_mode = DELETE",
    "PRAGMA encoding = 'UTF-16'", "UPDATE studies SET settings = '[1]'", "UPDATE studies SET settings = '{'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE pairs (x CHECK (evil()))' "
    "WHERE name = 'pairs'",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE type = 'index'",
)  # fmt: skip


def stores() -> dict[str, bytes]:
    """Return a store of six pairs and the proofs of their units, each made in this study and in an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        for study in (STUDY, Conditions("1" * 64, '{"seed": 1}', "diffeo-probe 0")):
            with Store(Path(folder), resume=study != STUDY) as store:
                store.begin(study)
                for unit in UNITS:
                    for name in INPUTS:
                        store.keep(Outcome(unit, name, FINDINGS, True, 0.5), "0" * 64, 2.0**30)
                    KeptSteps(store).keep("proofs", unit, "basis", CONTENT)
        return {"ours.sqlite": _whole(Path(folder) / FILE)}


def edited(content: bytes, chance: random.Random) -> bytes:
    """Return a store in which some cells, tables or views are others: a sound database that lies."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edited.sqlite"
        path.write_bytes(content)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            for _ in range(chance.choice((1, 1, 3))):
                _edit(connection, chance)
        except sqlite3.Error:
            pass
        finally:
            connection.close()
        return _whole(path)


def _edit(connection: sqlite3.Connection, chance: random.Random) -> None:
    if chance.random() < 0.15:
        connection.executescript(chance.choice(_SQL))
        return
    table = chance.choice(("studies", "pairs", "measurements", "measurements", "steps", "steps"))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if not columns:  # the table was dropped
        return
    value: Any = chance.choice((
        None, 0, -1, 2**63 - 1, math.inf, -math.inf, 1e308, 0.5, b"", b"\xff\xfe", b"x" * 100_000,
        *(text.encode("utf-8", "surrogatepass") if "\ud800" in text else text for text in EVIL_TEXTS),
        "ok", "exact", "error", "not_run", "float64", "{}", "[]", "[" * 2000, "null",
    ))  # fmt: skip
    where = chance.choice(("", " WHERE rowid = 1", f" WHERE {columns[0]} = 1"))
    connection.execute(f"UPDATE OR REPLACE {table} SET {chance.choice(columns)} = ?{where}", (value,))  # noqa: S608


def _whole(path: Path) -> bytes:
    """Return a database as one file: what is in its log is written back first."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass
    finally:
        connection.close()
    return path.read_bytes()


def read_store(path: Path) -> str:
    """Go on with a store: read every pair and all proofs, and write some.

    Raises:
        ValueError: a kept pair makes no row of a result, or what is written is not what is read.
    """
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / FILE).write_bytes(path.read_bytes())
    found = 0
    with Store(folder, resume=True) as store:
        store.begin(STUDY)
        for unit in UNITS:
            for name in INPUTS:
                kept = store.find(unit, name)
                if kept is None:
                    continue
                found += 1
                for quantity, finding in kept.outcome.findings.items():
                    row = {"unit": unit, "input": name, "quantity": quantity, **finding.to_json()}
                    try:
                        validate_row(row)
                    except ResultError as error:
                        raise ValueError(f"{row} would spoil the result: {error}") from error
        found += sum(_proofs_are_there(store, unit) for unit in UNITS)
        new = Outcome(UNITS[0], INPUTS[0], FINDINGS, False, 1.5)
        store.keep(new, "2" * 64, 5.0)
        again = store.find(UNITS[0], INPUTS[0])
        if (
            again is None
            or again.outcome != new
            or again.input_sha256 != "2" * 64
            or again.allowed_bytes != 5
        ):
            raise ValueError(f"{again} is not what was kept")
    return "all read" if found == len(UNITS) * (len(INPUTS) + 1) else "some read"


def _proofs_are_there(store: Store, unit: str) -> bool:
    """Look for what was kept of a unit's proofs.

    Raises:
        ValueError: what is found is not what was kept, or what is kept in its place is not found.
    """
    steps = KeptSteps(store)
    there = steps.find("proofs", unit, "basis", lambda content: content)
    if there is not None and (
        there.json != CONTENT.json or not torch.equal(there.arrays["x"], CONTENT.arrays["x"])
    ):
        raise ValueError(f"{there} is not what was kept")
    steps.keep("proofs", unit, "another", CONTENT)
    if steps.find("proofs", unit, "another", lambda content: content) is None:
        raise ValueError("what was kept is not found")
    return there is not None
