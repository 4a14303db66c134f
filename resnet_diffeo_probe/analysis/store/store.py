"""Measurements on disk: what was measured is committed pair by pair and survives whatever ends the process.

One SQLite file in the output folder. A pair of unit and input is one transaction: all of its rows are there or none.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES
from resnet_diffeo_probe.analysis.result.finding_row import COLUMNS, to_finding, to_number, to_row, to_text
from resnet_diffeo_probe.analysis.result.schema import validate_row
from resnet_diffeo_probe.analysis.store.error import StoreError, explained
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.tables import create_tables, transaction

__all__ = ["FILE", "LOCK", "Kept", "KeptStep", "Store", "StoreError"]

#: The name of the file in the output folder.
FILE = "measurements.sqlite"
#: The file that a process holds locked as long as it works in the folder; it stays there, empty.
LOCK = ".diffeo-probe.lock"

_COLUMNS = ", ".join(("quantity", *COLUMNS))


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair of unit and input in the store.

    Attributes:
        outcome: as it was when it was measured, to the bit.
        input_sha256: the fingerprint of the input that it was measured at.
        allowed_bytes: memory that its factors were allowed.
    """

    outcome: Outcome
    input_sha256: str
    allowed_bytes: float


@dataclass(frozen=True, slots=True)
class KeptStep:
    """A part of what follows the measuring, as it stands in the store: anyone may have edited it.

    Attributes:
        basis: fingerprint of what it rests on.
        content: JSON text.
        arrays: of numbers, as `safetensors` writes them.
        sha256: of the others and its place, as its writer gave it.
    """

    basis: str
    content: str
    arrays: bytes
    sha256: str


class Store:
    """The measurements of an output folder; a context manager that holds the folder for this process.

    Nothing is touched before `begin`. A connection belongs to the thread that began.

    Args:
        folder: the output folder.
        resume: whether measurements that are there are gone on with; else there must be none.
        replace: whether measurements that are there are thrown away.
    """

    def __init__(self, folder: Path, *, resume: bool = False, replace: bool = False) -> None:
        self.folder = folder
        self.resume = resume
        self.replace = replace
        self._lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
        self._connection: sqlite3.Connection | None = None
        self._study = 0

    @property
    def path(self) -> Path:
        """Where the measurements are."""
        return self.folder / FILE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let go of the folder; what was committed stays."""
        if self._connection is not None:
            with suppress(
                sqlite3.Error
            ):  # it is closed to the best of our knowledge; every row was committed before
                self._connection.close()
            self._connection = None
        self._lock.release()

    def hold(self) -> None:
        """Make the folder this process's own, until `close` or the end of the process, however that comes.

        Raises:
            OutputError: another process is at work there, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"another diffeo-probe is at work in {self.folder}",
                why="two analyses in one folder would overwrite each other's results",
                fix="wait until it has ended, or choose another --out",
                code="folder-in-use",
            ) from None
        except (OSError, NotImplementedError) as error:
            raise StoreError(
                f"the output folder {self.folder} cannot be written",
                why=getattr(error, "strerror", None) or str(error),
                fix="--out with a folder of your own",
                code="output-not-writable",
            ) from error

    def begin(self, conditions: Conditions) -> list[str]:
        """Open the store for the measurements made under some conditions: a study.

        Returns:
            If nothing of this study is there but of an earlier one: why that cannot be used, in words.

        Raises:
            StoreError: there is no store to go on with or one that was not to be gone on with; it is in use, damaged,
                or cannot be written.
        """
        if not self._lock.is_locked:
            self.hold()
        self._refuse_surprises()
        with explained(self.path, "opened"):
            connection = sqlite3.connect(self.path, isolation_level=None)
            self._connection = connection
            # a file may have been edited by anyone: no function of ours or theirs runs by its schema
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            # committed is on disk, and stays in a power cut: a pair takes far longer than a sync
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            if not create_tables(connection):
                raise StoreError(
                    f"{self.path} has other tables than this version writes",
                    why="another version of diffeo-probe wrote it, or another program",
                    fix="--overwrite to measure again, or another --out",
                    code="store-unusable",
                )
            # a damaged page can swallow rows without an error; some hundred megabytes are looked through in a second
            [[found]] = connection.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise ValueError(str(found).replace("\n", " "))
            # it holds no index against its table; this one is small, and would hide or double a part if it were damaged
            connection.execute("REINDEX steps")
            return self._choose(connection, conditions)

    def find(self, unit: str, name: str) -> Kept | None:
        """Return what was measured in this study of a unit at the input of this name, None where nothing was.

        Raises:
            StoreError: what is in the file makes no sense.
        """
        with explained(self.path, "read"):
            cursor = self._open.execute(
                "SELECT id, input_sha256, nonnegative, seconds, allowed_bytes FROM pairs "
                "WHERE study = ? AND unit = ? AND input = ?",
                (self._study, to_text(unit), to_text(name)),
            )
            pair = cursor.fetchone()
            if pair is None:
                return None
            key, digest, nonnegative, seconds, allowed = pair
            rows = self._open.execute(f"SELECT {_COLUMNS} FROM measurements WHERE pair = ?", (key,))  # noqa: S608
            read = {str(row[0]): to_finding(*row[1:]) for row in rows}
            # in the order in which they are measured, which is that of a result
            findings = {quantity: read[quantity] for quantity in sorted(read, key=QUANTITIES.index)}
            for quantity, finding in findings.items():
                # one row that no result can hold would spoil it at the very end of the run
                validate_row({"unit": unit, "input": name, "quantity": quantity, **finding.to_json()})
            outcome = Outcome(unit, name, findings, bool(nonnegative), to_number(seconds))
            return Kept(outcome, str(digest), to_number(allowed))

    def keep(self, outcome: Outcome, input_sha256: str, allowed_bytes: float) -> None:
        """Commit a pair in place of an earlier one of the same unit and input name.

        Raises:
            StoreError: it cannot be written, as where the disk is full; earlier rows stay as they were.
        """
        pair = (self._study, to_text(outcome.unit), to_text(outcome.input))
        with explained(self.path, "written"), transaction(self._open) as connection:
            earlier = "SELECT id FROM pairs WHERE study = ? AND unit = ? AND input = ?"
            connection.execute(f"DELETE FROM measurements WHERE pair IN ({earlier})", pair)  # noqa: S608
            connection.execute("DELETE FROM pairs WHERE study = ? AND unit = ? AND input = ?", pair)
            about = (input_sha256, int(outcome.nonnegative), outcome.seconds, allowed_bytes)
            key = connection.execute(
                "INSERT INTO pairs (study, unit, input, input_sha256, nonnegative, seconds, allowed_bytes) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*pair, *about),
            ).lastrowid
            connection.executemany(
                f"INSERT INTO measurements (pair, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                [(key, quantity, *to_row(finding)) for quantity, finding in outcome.findings.items()],
            )

    def find_step(self, step: str, part: str, *, max_bytes: int) -> KeptStep | None:
        """Return what was kept of a part of a step in this study, None where nothing was, or more than `max_bytes`.

        Raises:
            StoreError: the file cannot be read.
        """
        with explained(self.path, "read"):
            row = self._open.execute(
                "SELECT basis, content, arrays, sha256 FROM steps WHERE study = ? AND step = ? AND part = ? "
                "AND length(CAST(content AS BLOB)) + length(arrays) <= ?",
                (self._study, step, to_text(part), max_bytes),
            ).fetchone()
            if row is None:
                return None
            # a cell of another type than was written makes another digest: the reader finds that
            basis, content, arrays, digest = row
            return KeptStep(
                str(basis), str(content), arrays if isinstance(arrays, bytes) else b"", str(digest)
            )

    def keep_step(self, step: str, part: str, kept: KeptStep) -> None:
        """Commit a part of a step in place of an earlier one.

        Raises:
            StoreError: it cannot be written, as where the disk is full; earlier rows stay as they were.
        """
        with explained(self.path, "written"), transaction(self._open) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO steps (study, step, part, basis, content, arrays, sha256) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._study, step, to_text(part), kept.basis, kept.content, kept.arrays, kept.sha256),
            )

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the store is not open: call begin first")
        return self._connection

    def _refuse_surprises(self) -> None:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise StoreError(
                f"{self.path} is not a plain file",
                why="measurements are written into the output folder and nowhere else",
                fix="another --out",
                code="store-unusable",
            )
        if self.replace:
            with explained(self.path, "replaced"):
                for suffix in ("", "-wal", "-shm", "-journal"):
                    self.path.with_name(FILE + suffix).unlink(missing_ok=True)
        there = self.path.exists() and self.path.stat().st_size > 0
        if self.resume and not there:
            raise StoreError(
                f"{self.folder} has no {FILE}: there is nothing to go on with",
                why="measurements are kept from the first finished one on",
                fix="leave --resume out, or give the --out of the run that was interrupted",
                code="nothing-to-resume",
            )
        if there and not self.resume:
            raise StoreError(
                f"{self.folder} holds the measurements of an earlier analysis",
                fix="--resume to go on with them, --overwrite to measure again, or another --out",
                code="output-exists",
            )

    def _choose(self, connection: sqlite3.Connection, conditions: Conditions) -> list[str]:
        """Make the study under these conditions the current one; return why earlier ones are of no use if it is new."""
        earlier = [
            Conditions(*map(str, row))
            for row in connection.execute(
                "SELECT model, settings, version FROM studies WHERE id IN (SELECT study FROM pairs) ORDER BY id"
            )
        ]
        key = (conditions.model, conditions.settings, conditions.version)
        with transaction(connection):
            connection.execute(
                "INSERT OR IGNORE INTO studies (model, settings, version) VALUES (?, ?, ?)", key
            )
            row = connection.execute(
                "SELECT id FROM studies WHERE model = ? AND settings = ? AND version = ?", key
            )
            self._study = int(row.fetchone()[0])
        if not earlier or conditions in earlier:
            return []
        # the nearest one tells best what was changed
        return min((conditions.differences(before) for before in reversed(earlier)), key=len)
