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

from resnet_diffeo_probe.analysis.result.error import ResultError
from resnet_diffeo_probe.analysis.result.evidence_check import broken_evidence
from resnet_diffeo_probe.analysis.result.memory import available_memory
from resnet_diffeo_probe.analysis.result.row_check import quick_row_check
from resnet_diffeo_probe.analysis.result.text import parse_file, pieces
from resnet_diffeo_probe.analysis.result.whole_file import write_whole

__all__ = [
    "SCHEMA_VERSION",
    "ResultError",
    "load_schema",
    "read_result",
    "validate",
    "validate_row",
    "write_result",
]

SCHEMA_VERSION = "1.0"

Result = dict[str, Any]
Problem = tuple[str, str]


@cache
def _schema_text() -> str:
    folder = resources.files("resnet_diffeo_probe.analysis.result")
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


def read_result(path: Path | str, *, max_memory: float | None = None) -> Result:
    """Read and check a stored analysis.

    Args:
        path: a `result.json`.
        max_memory: bytes that it may take; None: what is free. What takes more is refused while it is read.

    Returns:
        The result, valid for `validate`.

    Raises:
        ResultError: the file is missing, too large, not JSON (truncated, say), of another schema version, or
            invalid; the message says which and where.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ResultError(
                f"{path} is not a file",
                fix=f"give the file in it: {path / 'result.json'}",
                code="result-not-a-file",
            )
        result = parse_file(path, free=available_memory() if max_memory is None else max_memory)
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read: {error.strerror or error}",
            fix="give the result.json in the output folder of `diffeo-probe analyze`",
            code="result-unreadable",
        ) from error
    try:
        validate(result)
    except ResultError as error:
        raise ResultError(f"{path}: {error.what}", why=error.why, fix=error.fix, code=error.code) from error
    except RecursionError as error:  # nested as deep as could just be parsed
        raise ResultError(
            f"{path} is not a result: {error}",
            fix="give the result.json that `diffeo-probe analyze` wrote",
            code="result-not-json",
        ) from error
    return result


def write_result(result: Result, path: Path | str) -> None:
    """Check a result and write it as JSON: to a temporary name in the same folder first, then renamed.

    Raises:
        ResultError: the result is invalid (nothing is written).
        OutputError: the file cannot be written (an older one stays as it was).
    """
    validate(result)
    write_whole(Path(path), pieces(result))


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
    around = {**result, "measurements": []} if isinstance(rows, list) else result
    errors: Iterable[ValidationError] = _validator().iter_errors(around)
    for error in errors:
        yield _place(error.absolute_path), error.message[:300]
    is_surely_valid = _is_surely_a_row()
    doubtful = []
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        if not is_surely_valid(row):
            doubtful.append(index)
            for error in _row_validator().iter_errors(row):
                yield _place(["measurements", index, *error.absolute_path]), error.message[:300]
    yield from _not_finite(around, "")
    for index in doubtful:
        yield from _not_finite(result["measurements"][index], f"measurements[{index}]")
    yield from _broken_references(result)
    yield from _broken_rows(result)
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
    seen: set[tuple[str | None, str]] = set()
    for index, verdict in enumerate(result["verdicts"]):
        key = (verdict["unit"], verdict["map"])
        if verdict["unit"] is not None and verdict["unit"] not in units:
            yield f"verdicts[{index}].unit", f"{verdict['unit']!r} is not in units"
        if key in seen:
            yield f"verdicts[{index}]", f"a second verdict for unit {key[0]!r}, map {key[1]!r}"
        seen.add(key)


def _broken_rows(result: Result) -> Iterator[Problem]:
    """Yield measurements of what does not exist, without a value they should have, and those that are there twice."""
    units = {unit["name"] for unit in result["units"]}
    inputs = {None, *result["inputs"]["names"]}
    # sets of names that are held anyway: one of tuples would take half as much memory as the rows themselves
    seen: dict[tuple[str, str], set[str | None]] = {}
    for index, row in enumerate(result["measurements"]):
        unit, name, quantity = row["unit"], row["input"], row["quantity"]
        if unit not in units:
            yield f"measurements[{index}].unit", f"{unit!r} is not in units"
        if name not in inputs:
            yield f"measurements[{index}].input", f"{name!r} is not in inputs.names"
        if row["value"] is None and row["status"] == "ok":
            yield f"measurements[{index}].value", "status is ok, but there is no value"
        met = seen.setdefault((unit, quantity), set())
        if name in met:
            yield f"measurements[{index}]", f"a second row for {(unit, name, quantity)!r}"
        met.add(name)


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
