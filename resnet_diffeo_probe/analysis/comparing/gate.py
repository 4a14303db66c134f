"""A gate: the rules that a stored analysis breaks, and the exit code that says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold, limit_of
from resnet_diffeo_probe.analysis.result.left_out import LEFT_OUT

__all__ = ["GATES", "INTERRUPTED", "Tripped", "exit_code", "is_complete", "tripped"]

#: What may trip the gate, each with what stands before it.
GATES = ("never", "error", "violation", "uncertified")

PASSED, TRIPPED, PARTIAL, INTERRUPTED = 0, 1, 4, 130

Row = Mapping[str, Any]
# Values that are no number but lie on one side of every limit.
_INFINITE = {"infinite": math.inf, "singular": -math.inf}
# A sign on a kink is that of one of several one-sided Jacobians: the verdicts count it as undetermined.
_UNDETERMINED = frozenset(("undetermined", "on_kink", "other_function"))
_LOOKED_AT = _UNDETERMINED | {"ok", "singular"}


@dataclass(frozen=True, slots=True)
class Tripped:
    """A rule that a unit breaks.

    Attributes:
        rule: `"error"`, `"violation"`, `"uncertified"`, or the key of a threshold.
        unit: the unit's name; None where the rule is about the analysis as a whole.
        quantity: `"status"`, `"steps"`, `"verdict"`, or the measured quantity.
        value: the state, or the number; None where there is no number to hold against the limit.
        threshold: the limit; None for a rule about states.
        input: the input at which the number was found, where it is that of one input.
        reason: a sentence for people.
    """

    rule: str
    unit: str | None
    quantity: str
    value: str | float | None
    threshold: float | None
    input: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return an object whose numbers are finite: an infinite one is the text `"inf"` or `"-inf"`."""
        value = self.value
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)
        return {
            "rule": self.rule,
            "unit": self.unit,
            "quantity": self.quantity,
            "value": value,
            "threshold": self.threshold,
            "input": self.input,
            "reason": self.reason,
        }


def is_complete(result: Mapping[str, Any]) -> bool:
    """Return whether every planned measurement of every chosen unit was made, and every step that was wanted."""
    return not _unfinished(result)


def exit_code(result: Mapping[str, Any], fail_on: str, thresholds: Iterable[Threshold] = ()) -> int:
    """Return the exit code of a stored analysis: 1 gate tripped, 4 partial, 0 done.

    Args:
        result: a valid stored analysis.
        fail_on: one of `GATES`.
        thresholds: limits; those that a file sets trip every gate but `never`.
    """
    if tripped(result, fail_on, thresholds):
        return TRIPPED
    return PASSED if is_complete(result) else PARTIAL


def tripped(result: Mapping[str, Any], fail_on: str, thresholds: Iterable[Threshold] = ()) -> list[Tripped]:
    """Return every rule that a unit breaks, unit by unit in network order.

    The verdicts are those on the sum map x + F(x). A limit that a unit's rows have no number for is broken too: what is
    not known cannot be within it. A unit that was not run at all breaks the rule `error` alone.

    Args:
        result: a valid stored analysis.
        fail_on: `never`: nothing breaks a rule. `error`: a unit that was not run, or a limit that a file sets.
            `violation`: also a unit that is proven not injective. `uncertified`: also one that is not certified.
        thresholds: limits, of which those that a file sets count.
    """
    if fail_on == "never":
        return []
    found = [*_unfinished(result)]
    if fail_on != "error":
        found += _judged(result, fail_on)
    limits = list(thresholds)
    keys = {t.limit.key: t.limit for t in limits if t.set_by == "file"}
    rows: dict[tuple[str, str], list[Row]] = {}
    for row in result["measurements"]:
        rows.setdefault((row["unit"], row["quantity"]), []).append(row)
    for unit in result["units"]:
        if unit["status"] not in ("complete", "partial"):
            continue
        for key, limit in keys.items():
            holds = limit_of(limits, key, unit["name"])
            if holds is not None and holds.set_by == "file":
                found += _beyond(holds, unit, rows.get((unit["name"], limit.quantity), []))
    order = {unit["name"]: unit["index"] for unit in result["units"]}
    return sorted(found, key=lambda rule: -1 if rule.unit is None else order[rule.unit])


def _unfinished(result: Mapping[str, Any]) -> list[Tripped]:
    steps = result.get("left_out", [])
    reason = f"not finished: {', '.join(steps)}"
    of_all = [Tripped("error", None, "steps", "left_out", None, None, reason)] if steps else []
    return of_all + [
        Tripped(
            "error", unit["name"], "status", unit["status"], None, None, unit["reason"] or "no reason given"
        )
        for unit in result["units"]
        if unit["status"] in ("partial", "not_run") and unit["reason"] != LEFT_OUT
    ]


def _judged(result: Mapping[str, Any], fail_on: str) -> list[Tripped]:
    # the reason of a unit that was not run is told once, by the rule `error`; one left out by the user is none
    silent = {unit["name"] for unit in result["units"] if unit["status"] == "not_run"}
    found = []
    for verdict in result["verdicts"]:
        state = verdict["state"]
        if verdict["unit"] is None or verdict["map"] != "sum" or state == "not_applicable":
            continue
        if verdict["unit"] in silent and state == "not_run":
            continue
        if state == "not_injective_proven":
            rule = "violation"
        elif fail_on == "uncertified" and state != "certified_injective":
            rule = "uncertified"
        else:
            continue
        found.append(Tripped(rule, verdict["unit"], "verdict", state, None, None, verdict["sentence"]))
    return found


def _beyond(threshold: Threshold, unit: Row, rows: list[Row]) -> list[Tripped]:
    limit = threshold.limit

    def broken(value: float | None, name: str | None, reason: str) -> list[Tripped]:
        return [Tripped(limit.key, unit["name"], limit.quantity, value, threshold.value, name, reason)]

    if limit.statistic.endswith("_share"):
        looked_at = [row for row in rows if row["status"] in _LOOKED_AT]
        if not looked_at:
            return broken(None, None, f"{limit.quantity} was not measured")
        counted = [row for row in looked_at if _counts(row, limit.statistic)]
        share = len(counted) / len(looked_at)
        words = f"{len(counted)} of {len(looked_at)} inputs"
        return broken(share, None, words) if _is_beyond(share, threshold) else []
    per = unit["dimension"] if limit.statistic.endswith("_per_dimension") else 1
    values = [(value / per, row) for row in rows if (value := _number(row)) is not None]
    beyond = [(value, row) for value, row in values if _is_beyond(value, threshold)]
    if beyond:
        value, row = (max if limit.bound == "max" else min)(beyond, key=lambda pair: pair[0])
        return broken(value, row["input"], f"{len(beyond)} of {len(rows)} inputs")
    if not rows:
        return broken(None, None, f"{limit.quantity} was not measured")
    if missing := [row for row in rows if _number(row) is None and row["status"] != "not_applicable"]:
        row = missing[0]
        return broken(
            None,
            row["input"],
            f"no number at {len(missing)} of {len(rows)} inputs: {row.get('reason') or row['status']}",
        )
    return []


def _counts(row: Row, statistic: str) -> bool:
    if statistic == "undetermined_share":
        return row["status"] in _UNDETERMINED
    return row["status"] == "ok" and row["value"] is not None and row["value"] < 0


def _number(row: Row) -> float | None:
    if row["value"] is not None:
        return float(row["value"])
    return _INFINITE.get(row["status"])


def _is_beyond(value: float, threshold: Threshold) -> bool:
    limit = threshold.value
    if limit is None:
        return False
    return value > limit if threshold.limit.bound == "max" else value < limit
