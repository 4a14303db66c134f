"""A quick look at the rows of a result: accepts only what the schema accepts, and leaves the rest to it.

A result has hundreds of thousands of measurements, at which the general validator would take most of a minute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["quick_row_check"]

_NUMBER = (int, float)  # by `type`, so that True is not one
_TEXT = (str, type(None))


def quick_row_check(definition: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Return a predicate that is True only for valid measurements; False says nothing.

    Args:
        definition: `$defs.measurement` of the schema; its words and keys are taken from there.
    """
    words = definition["properties"]
    required, allowed = frozenset(definition["required"]), frozenset(words)
    evidence, status = frozenset(words["evidence"]["enum"]), frozenset(words["status"]["enum"])
    quantity = re.compile(words["quantity"]["pattern"])

    def is_surely_valid(row: Any) -> bool:
        return (
            type(row) is dict
            and required <= row.keys() <= allowed
            and type(row["unit"]) is str
            and type(row["input"]) in _TEXT
            and type(row["quantity"]) is str
            and quantity.search(row["quantity"]) is not None
            and type(row["value"]) in (*_NUMBER, type(None))
            and type(row["evidence"]) is str
            and row["evidence"] in evidence
            and type(row["status"]) is str
            and row["status"] in status
            and ("error" not in row or (type(row["error"]) in _NUMBER and row["error"] >= 0))
            and ("interval" not in row or _is_interval(row["interval"]))
            and type(row.get("dtype", "")) is str
            and type(row.get("seed", 0)) is int
            and type(row.get("reason", "")) is str
        )

    return is_surely_valid


def _is_interval(interval: Any) -> bool:
    return type(interval) is list and len(interval) == 2 and all(type(end) in _NUMBER for end in interval)
