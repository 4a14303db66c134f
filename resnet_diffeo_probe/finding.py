"""The vocabulary every room of the house speaks: a value together with how it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Evidence", "Finding", "Status"]


class Evidence(StrEnum):
    """How a value is known."""

    EXACT = "exact"  # a direct method: its error is rounding only
    CERTIFIED = "certified"  # a bound with a proof
    ESTIMATED = "estimated"  # stochastic or iterative: see the interval
    FAILED = "failed"  # the computation did not end with a value
    NOT_APPLICABLE = "not applicable"  # the quantity does not exist for this unit


class Status(StrEnum):
    """What became of a value. Infinite and undefined values are a status, never a float."""

    OK = "ok"
    SINGULAR = "singular"  # det J = 0: log|det| is minus infinity
    INFINITE = "infinite"  # plus infinity, e.g. a critical step with no eigenvalue to stop it
    UNDETERMINED = "undetermined"  # within rounding error of the point where the answer changes
    ON_KINK = "on_kink"  # the input lies on a kink of the branch: one of several one-sided values
    OTHER_FUNCTION = "other_function"  # what was to be measured is not what the user's module computes there
    NOT_CONVERGED = "not_converged"
    NOT_APPLICABLE = "not_applicable"
    NOT_RUN = "not_run"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A value with its evidence.

    Attributes:
        value: the number, or None where `status` says why there is none. Always finite.
        evidence: how the value is known.
        status: `Status.OK`, or what else became of it.
        error: absolute error bound or estimate, in the unit of the value.
        interval: (low, high): of an estimate, a confidence interval at 95 %; of a direct method, where rounding leaves
            the value except with a probability below 1e-8; else a bracket with a proof.
        dtype: floating-point arithmetic that the value was computed in, e.g. `"float64"`.
        seed: the random seed where there was chance.
        reason: a sentence for people: why there is no value, or what it rests on.
    """

    value: float | int | None
    evidence: Evidence = Evidence.EXACT
    status: Status = Status.OK
    error: float | None = None
    interval: tuple[float, float] | None = None
    dtype: str | None = None
    seed: int | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a finding's value is finite or None with a status, not {self.value!r}")

    @classmethod
    def missing(cls, status: Status, reason: str, evidence: Evidence = Evidence.FAILED) -> Finding:
        """Return a finding without a value, with the reason why."""
        return cls(None, evidence, status, reason=reason)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object: `value`, `evidence`, `status`, and whatever else is known."""
        row: dict[str, Any] = {
            "value": self.value,
            "evidence": self.evidence.value,
            "status": self.status.value,
        }
        for key in ("error", "dtype", "seed", "reason"):
            if (extra := getattr(self, key)) is not None:
                row[key] = extra
        if self.interval is not None:
            row["interval"] = list(self.interval)
        return row
