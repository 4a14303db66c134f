"""The vocabulary every room of the house speaks: a value together with how it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["ErrorKind", "Evidence", "Finding", "IntervalKind", "Status"]


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


class IntervalKind(StrEnum):
    """What an interval claims of the true value, weakest first."""

    TOLERANCE = "tolerance"  # holds every value within a tolerance of rounding: a rule of thumb
    CONFIDENCE = (
        "confidence"  # holds it with a probability of at least 95 % over the random vectors of an estimate
    )
    ROUNDING = "rounding"  # rounding left it inside, except with a probability below 1e-8 over random vectors
    PROVEN = "proven"  # holds it


class ErrorKind(StrEnum):
    """What an error claims of the distance to the true value."""

    ESTIMATE = "estimate"  # of its size: a residual, a first-order term, a tolerance of rounding
    BOUND = "bound"  # not below it, by a proof


@dataclass(frozen=True, slots=True)
class Finding:
    """A value with its evidence.

    Attributes:
        value: the number, or None where `status` says why there is none. Always finite.
        evidence: how the value is known.
        status: `Status.OK`, or what else became of it.
        error: absolute error, in the unit of the value; `error_kind` says whether it is a bound.
        interval: (low, high), of which `interval_kind` says what it claims.
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

    @property
    def interval_kind(self) -> IntervalKind | None:
        """What `interval` claims; None without one.

        It follows from how the value is known: a proof bounds it, an estimate has a confidence interval, and a direct
        method one of rounding where random vectors, whose seed is kept, bound its error. Without them it is a rule.
        """
        if self.interval is None:
            return None
        if self.evidence is Evidence.CERTIFIED:
            return IntervalKind.PROVEN
        if self.evidence is Evidence.ESTIMATED:
            return IntervalKind.CONFIDENCE
        if self.evidence is Evidence.EXACT and self.seed is not None:
            return IntervalKind.ROUNDING
        return IntervalKind.TOLERANCE

    @property
    def error_kind(self) -> ErrorKind | None:
        """What `error` claims; None without one. Only what is certified has a bound."""
        if self.error is None:
            return None
        return ErrorKind.BOUND if self.evidence is Evidence.CERTIFIED else ErrorKind.ESTIMATE

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
