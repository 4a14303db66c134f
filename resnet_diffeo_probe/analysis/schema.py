"""`result.json`: its JSON Schema, and reading, checking and writing a stored analysis."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from resnet_diffeo_probe.analysis.evidence_check import broken_evidence
from resnet_diffeo_probe.analysis.row_check import quick_row_check
from resnet_diffeo_probe.analysis.whole_file import write_whole
from resnet_diffeo_probe.errors import DiffeoProbeError

__all__ = [
    "MAX_BYTES",
    "SCHEMA_VERSION",
    "ResultError",
    "load_schema",
    "read_result",
    "validate",
    "validate_row",
    "write_result",
]

SCHEMA_VERSION = "1.0"

#: Largest `result.json` that is read. Ten thousand inputs on fifty units take half of it in the quick budget.
MAX_BYTES = 1 << 30

# A parsed result takes five times its text; text made of empty lists and dictionaries forty times.
_MOST_TIMES = 12
_MUCH_MEMORY = 1 << 30

Result = dict[str, Any]
Problem = tuple[str, str]


class ResultError(DiffeoProbeError):
    """A stored analysis that cannot be used: missing, truncated, of another version, or nonsense."""

    code = "result"


@cache
def _schema_text() -> str:
    folder = resources.files("resnet_diffeo_probe.analysis")
    return folder.joinpath("result.schema.json").read_text(encoding="utf-8")


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `result.json`; a fresh copy on every call."""
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(load_schema())


def validate(result: Any) -> None:
    """Check a result against the schema, and what a schema cannot say.

    The latter is: every number is finite, unit names are unique, the units and inputs that measurements
    and verdicts speak of exist, as do those of witnesses, certificates, references and refinements, there is one
    verdict per unit and map and one row per unit, input and quantity, and a row with status `ok` has a value.

    Args:
        result: the parsed content of a `result.json`.

    Raises:
        ResultError: names the place of the first problem, such as `measurements[3].value`.
    """
    _check_version(result)
    for place, problem in _problems(result):
        raise ResultError(
            f"this is not a valid result: {place}: {problem}",
            why=f"it does not keep to version {SCHEMA_VERSION} of the result's schema",
            fix="make it again with `diffeo-probe analyze`",
            code="result-invalid",
        )


def validate_row(row: Any) -> None:
    """Check one measurement by itself, as `validate` checks it among the others.

    Raises:
        ResultError: it is no row that a result could hold.
    """
    for place, problem in _row_problems(row):
        raise ResultError(
            f"this is no measurement: {place}: {problem}",
            why=f"it does not keep to version {SCHEMA_VERSION} of the result's schema",
            fix="make it again with `diffeo-probe analyze`",
            code="result-invalid",
        )


def read_result(path: Path | str, *, max_bytes: int = MAX_BYTES) -> Result:
    """Read and check a stored analysis.

    Args:
        path: a `result.json`.
        max_bytes: refuse a file larger than this before reading it.

    Returns:
        The result, valid for `validate`.

    Raises:
        ResultError: the file is missing, too large, not JSON (truncated, say), of another schema version, or
            invalid; the message says which and where.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ResultError(
                f"{path} is not a file",
                fix=f"give the file in it: {path / 'result.json'}",
                code="result-not-a-file",
            )
        if size > max_bytes:
            raise ResultError(
                f"{path} is too large to read: {size:,} bytes, the limit is {max_bytes:,}",
                fix="analyse fewer inputs or units at a time",
                code="result-too-large",
            )
        raw = path.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read: {error.strerror or error}",
            fix="give the result.json in the output folder of `diffeo-probe analyze`",
            code="result-unreadable",
        ) from error
    result = _parse(raw, path)
    try:
        validate(result)
    except ResultError as error:
        raise ResultError(f"{path}: {error.what}", why=error.why, fix=error.fix, code=error.code) from error
    except RecursionError as error:  # nested as deep as could just be parsed
        raise _not_a_result(path, error) from error
    return result


def write_result(result: Result, path: Path | str) -> None:
    """Check a result and write it as JSON: to a temporary name in the same folder first, then renamed.

    Raises:
        ResultError: the result is invalid (nothing is written).
        OutputError: the file cannot be written (an older one stays as it was).
    """
    validate(result)
    write_whole(Path(path), "".join(_pieces(result)))


def _pieces(result: Result) -> Iterator[str]:
    """Yield the text: a row of a table is a line, which takes half the bytes and shows a difference as what it is."""
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


def _parse(raw: bytes, path: Path) -> Result:
    memory = _memory_of(raw)
    if memory > max(_MUCH_MEMORY, _MOST_TIMES * len(raw)):
        raise ResultError(
            f"{path} would take {memory / 2**30:.1f} GiB of memory, and has {len(raw) / 2**20:.0f} MiB",
            why="it is made of brackets and commas rather than of numbers",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-too-large",
        )
    try:
        result: Result = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ResultError(
            f"{path} is not JSON: byte {error.start} is not UTF-8 text",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-not-json",
        ) from error
    except json.JSONDecodeError as error:
        # a file cut short fails at its very end
        truncated = not raw.strip() or error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        raise ResultError(
            f"{path} is {'cut short' if truncated else 'not JSON'}: "
            f"line {error.lineno}, column {error.colno}: {error.msg}",
            why="the run that wrote it was interrupted, or the copy was" if truncated else None,
            fix="make it again with `diffeo-probe analyze`",
            code="result-truncated" if truncated else "result-not-json",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _not_a_result(path, error) from error
    return result


def _memory_of(raw: bytes) -> int:
    """Return about how many bytes the parsed JSON takes, from its text and its number of values."""
    # CPython: a small dictionary has 232 bytes, a list 56 and its place in another 8, a number 24 and its place
    return 2 * len(raw) + 240 * raw.count(b"{") + 64 * raw.count(b"[") + 60 * raw.count(b",")


def _not_a_result(path: Path, error: Exception) -> ResultError:
    return ResultError(
        f"{path} is not a result: {error}",
        fix="give the result.json that `diffeo-probe analyze` wrote",
        code="result-not-json",
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; infinite and undefined numbers are a status")


def _check_version(result: Any) -> None:
    if not isinstance(result, dict):
        raise ResultError(
            f"this is not a result: a JSON {_json_type(result)}, not an object",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-invalid",
        )
    if "schema_version" not in result:
        raise ResultError(
            "this is not a result: it has no schema_version",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-invalid",
        )
    version = result["schema_version"]
    if version != SCHEMA_VERSION:
        raise ResultError(
            f"the result has schema version {version!r}; this diffeo-probe reads {SCHEMA_VERSION!r}",
            why="another version of diffeo-probe wrote it",
            fix="render it with the version that wrote it (tool.version), or analyse again",
            code="result-version",
        )


def _problems(result: Result) -> Iterator[Problem]:
    """Yield problems lazily, the structural ones first: the later checks rely on the structure."""
    rows = result.get("measurements")
    by_row = isinstance(rows, list)
    errors: Iterable[ValidationError] = _validator().iter_errors(
        {**result, "measurements": []} if by_row else result
    )
    for error in errors:
        yield _place(error.absolute_path), error.message[:300]
    is_surely_valid = _is_surely_a_row()
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        if not is_surely_valid(row):
            for error in _row_validator().iter_errors(row):
                yield _place(["measurements", index, *error.absolute_path]), error.message[:300]
    yield from _not_finite(result, "")
    yield from _broken_references(result)
    yield from broken_evidence(result)


def _row_problems(row: Any) -> Iterator[Problem]:
    if not _is_surely_a_row()(row):
        for error in _row_validator().iter_errors(row):
            yield _place(error.absolute_path), error.message[:300]
    yield from _not_finite(row, "")
    if row["value"] is None and row["status"] == "ok":
        yield "value", "status is ok, but there is no value"


@cache
def _row_validator() -> Draft202012Validator:
    return Draft202012Validator({"$ref": "#/$defs/measurement", "$defs": load_schema()["$defs"]})


@cache
def _is_surely_a_row() -> Callable[[Any], bool]:
    return quick_row_check(load_schema()["$defs"]["measurement"])


def _not_finite(node: Any, place: str) -> Iterator[Problem]:
    if isinstance(node, float):
        if not math.isfinite(node):
            yield place, f"{node!r} is not a finite number; say it with a status"
    elif isinstance(node, dict):
        for key, child in node.items():
            if isinstance(child, dict | list | float):
                yield from _not_finite(child, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            if isinstance(child, dict | list | float):
                yield from _not_finite(child, f"{place}[{index}]")


def _broken_references(result: Result) -> Iterator[Problem]:
    units: set[str] = set()
    for index, unit in enumerate(result["units"]):
        if unit["name"] in units:
            yield f"units[{index}].name", f"{unit['name']!r} appears twice"
        units.add(unit["name"])
    labels, names = result["inputs"]["labels"], result["inputs"]["names"]
    if labels is not None and len(labels) != len(names):
        yield "inputs.labels", f"{len(labels)} labels for {len(names)} names"
    inputs = {None, *names}
    rows: set[tuple[str, str | None, str]] = set()
    for index, row in enumerate(result["measurements"]):
        if row["unit"] not in units:
            yield f"measurements[{index}].unit", f"{row['unit']!r} is not in units"
        if row["input"] not in inputs:
            yield f"measurements[{index}].input", f"{row['input']!r} is not in inputs.names"
        if row["value"] is None and row["status"] == "ok":
            yield f"measurements[{index}].value", "status is ok, but there is no value"
        cell = (row["unit"], row["input"], row["quantity"])
        if cell in rows:
            yield f"measurements[{index}]", f"a second row for {cell!r}"
        rows.add(cell)
    seen: set[tuple[str | None, str]] = set()
    for index, verdict in enumerate(result["verdicts"]):
        key = (verdict["unit"], verdict["map"])
        if verdict["unit"] is not None and verdict["unit"] not in units:
            yield f"verdicts[{index}].unit", f"{verdict['unit']!r} is not in units"
        if key in seen:
            yield f"verdicts[{index}]", f"a second verdict for unit {key[0]!r}, map {key[1]!r}"
        seen.add(key)


def _place(path: Iterable[str | int]) -> str:
    place = ""
    for part in path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".") or "the whole"


def _json_type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (str, "string"), (list, "array"), (type(None), "null")):
        if isinstance(value, kind):
            return name
    return "number"
