"""One part of a result by itself against the schema, long before the result is written."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from resnet_diffeo_probe.analysis.result.schema import ResultError, load_schema

__all__ = ["validate_entry", "validate_part"]


def validate_part(part: str, value: Any) -> None:
    """Check what shall become a part of a result.

    Args:
        part: a key of the result, such as `certificates`.
        value: of that key.

    Raises:
        ResultError: names the place of the first problem.
    """
    _validate(f"properties/{part}", value)


def validate_entry(kind: str, value: Any) -> None:
    """Check what shall become an entry of some part of a result.

    Args:
        kind: the name of its definition in the schema, such as `spatial_map`.
        value: the entry.

    Raises:
        ResultError: names the place of the first problem.
    """
    _validate(f"$defs/{kind}", value)


@cache
def _validator(place: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/{place}"} | {k: v for k, v in load_schema().items() if k in ("properties", "$defs")}
    )


def _validate(place: str, value: Any) -> None:
    for error in _validator(place).iter_errors(value):
        raise ResultError(
            f"this is no part of a result: {error.json_path}: {error.message[:300]}",
            why="it does not keep to the result's schema",
            fix="make it again with `diffeo-probe analyze`",
            code="result-invalid",
        )
