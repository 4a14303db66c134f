"""The states of a verdict, and the verdict itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["State", "Verdict"]


class State(StrEnum):
    """What is known about a map; the words are those of the report."""

    CERTIFIED_INJECTIVE = "certified_injective"
    NOT_INJECTIVE_PROVEN = "not_injective_proven"
    NO_VIOLATION_FOUND = "no_violation_found"
    NOT_APPLICABLE = "not_applicable"
    UNDETERMINED = "undetermined"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class Verdict:
    """What is known about one map of one unit, on which domain, in which arithmetic.

    Attributes:
        unit: its name; None for the network's summary over its units.
        map: `"sum"` for x + F(x), `"unit"` for the map after the post-add activation.
        state: see `State`.
        sentence: the same for people, with the numbers.
        domain: where the statement holds.
        arithmetic: what it was computed in, and what was checked rather than bounded.
        counts: inputs by sign of det J: positive, negative, zero, undetermined, not_run.
        violating_share_upper_95: one-sided 95 % bound on the share of such inputs whose sign differs.
        evidence: what the verdict rests on.
    """

    unit: str | None
    map: str
    state: State
    sentence: str
    domain: str | None = None
    arithmetic: str | None = None
    counts: dict[str, int] | None = None
    violating_share_upper_95: float | None = None
    evidence: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `result.json`."""
        return {
            "unit": self.unit,
            "map": self.map,
            "state": self.state.value,
            "domain": self.domain,
            "arithmetic": self.arithmetic,
            "sentence": self.sentence,
            "counts": self.counts,
            "violating_share_upper_95": self.violating_share_upper_95,
            "evidence": self.evidence,
        }
