"""A quick look at the rows of a result: accepts only what the schema accepts, and leaves the rest to it.

A result has up to millions of measurements, at which the general validator would take minutes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["quick_row_check"]

_NUMBER = (int, float)  # by `type`, so that True is not one
_TEXT = (str, type(None))
# Names of quantities that need not be looked at again; there are some twenty.
_REMEMBERED = 1000
_LARGEST = sys.float_info.max


def quick_row_check(definition: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Return a predicate that is True only for valid measurements of finite numbers; False says nothing.

    Args:
        definition: `$defs.measurement` of the schema; its words and keys are taken from there.
    """
    words = definition["properties"]
    required, allowed = frozenset(definition["required"]), frozenset(words)
    evidence, status = frozenset(words["evidence"]["enum"]), frozenset(words["status"]["enum"])
    pattern = re.compile(words["quantity"]["pattern"])
    quantities: set[str] = set()

    def is_quantity(name: Any) -> bool:
        if type(name) is not str:
            return False
        if name in quantities:
            return True
        if pattern.search(name) is None:
            return False
        if len(quantities) < _REMEMBERED:
            quantities.add(name)
        return True

    def is_surely_valid(row: Any) -> bool:
        return (
            type(row) is dict
            and required <= row.keys() <= allowed
            and type(row["unit"]) is str
            and type(row["input"]) in _TEXT
            and is_quantity(row["quantity"])
            and (row["value"] is None or _is_finite(row["value"]))
            and type(row["evidence"]) is str
            and row["evidence"] in evidence
            and type(row["status"]) is str
            and row["status"] in status
            and ("error" not in row or (_is_finite(row["error"]) and row["error"] >= 0))
            and ("interval" not in row or _is_interval(row["interval"]))
            and type(row.get("dtype", "")) is str
            and type(row.get("seed", 0)) is int
            and type(row.get("reason", "")) is str
        )

    return is_surely_valid


def _is_interval(interval: Any) -> bool:
    return type(interval) is list and len(interval) == 2 and all(map(_is_finite, interval))


def _is_finite(number: Any) -> bool:
    return type(number) in _NUMBER and -_LARGEST <= number <= _LARGEST
