"""The units of a result as the report shows them: each with its rows, verdicts and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from resnet_diffeo_probe.report.text.quantities import DENSITY
from resnet_diffeo_probe.report.text.states import MAPS, STATES, StateWords
from resnet_diffeo_probe.report.text.summary import Summary, summarise

__all__ = ["ReportUnit", "ReportVerdict", "network_verdicts", "units_of", "worst"]

Row = Mapping[str, Any]
_ABSENT = "No verdict is stored for this map."


@dataclass(frozen=True, slots=True)
class ReportVerdict:
    """A verdict on one map; a result without one reads as "not run"."""

    which: str
    state: StateWords
    sentence: str
    domain: str | None = None
    arithmetic: str | None = None
    counts: Mapping[str, int] | None = None
    upper_bound: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def map_name(self) -> str:
        """Return what the map is called."""
        return MAPS[self.which][0]

    @property
    def map_meaning(self) -> str:
        """Return what the map is."""
        return MAPS[self.which][1]


@dataclass(frozen=True)
class ReportUnit:
    """One unit: its record in `units`, its measurements and its verdicts."""

    record: Mapping[str, Any]
    anchor: str
    verdicts: tuple[ReportVerdict, ReportVerdict]
    #: quantity, then input (None where the number belongs to the unit alone)
    rows: Mapping[str, Mapping[str | None, Row]]
    # of the quantities that were asked for: charts, tables and limits ask for the same ones
    _summaries: dict[str, Summary] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the unit's name."""
        name: str = self.record["name"]
        return name

    @cached_property
    def counts(self) -> Mapping[str, int] | None:
        """Return how many inputs have which sign: as the verdict states, else counted from the sign rows."""
        for verdict in self.verdicts:
            if verdict.counts is not None:
                return verdict.counts
        rows = self.rows.get("sign")
        if not rows:
            return None
        counts = dict.fromkeys(("positive", "negative", "zero", "undetermined", "not_run"), 0)
        for row in rows.values():
            counts[_sign_word(row)] += 1
        return counts

    @property
    def signs(self) -> int:
        """Return at how many inputs the sign was looked at, whatever came of it."""
        return sum(self.counts.values()) - self.counts["not_run"] if self.counts else 0

    @property
    def sign_glyph(self) -> str:
        """Return one character for the signs at all inputs: + − ± 0 (singular) ? (undetermined), empty without any."""
        counts = self.counts
        if counts is None:
            return ""
        if counts["positive"] and counts["negative"]:
            return "±"
        pairs = (("zero", "0"), ("undetermined", "?"), ("negative", "−"), ("positive", "+"))
        return next((glyph for key, glyph in pairs if counts[key]), "")

    @cached_property
    def negative_share(self) -> float | None:
        """Return the share of negative signs among the inputs that were run."""
        if self.counts is None or not self.signs:
            return None
        return self.counts["negative"] / self.signs

    def summary(self, key: str) -> Summary:
        """Return medians and extremes of a quantity; `logabsdet_per_dimension` comes from `logabsdet`."""
        if key not in self._summaries:
            self._summaries[key] = self._summarised(key)
        return self._summaries[key]

    def _summarised(self, key: str) -> Summary:
        if key == DENSITY and key not in self.rows:
            return summarise(self.rows.get("logabsdet", {}).values(), self.record["dimension"] or 1)
        return summarise(self.rows.get(key, {}).values())

    @property
    def concern(self) -> tuple[int, float, int]:
        """Return a key by which the unit to look at first comes first."""
        sum_map, whole = self.verdicts
        return (sum_map.state.concern, -(self.negative_share or 0.0), whole.state.concern)


def _sign_word(row: Row) -> str:
    if row["value"] is None:
        return "not_run" if row["status"] in ("not_run", "not_applicable", "error") else "undetermined"
    return "positive" if row["value"] > 0 else "negative" if row["value"] < 0 else "zero"


def units_of(result: Mapping[str, Any]) -> list[ReportUnit]:
    """Return the units in network order."""
    rows: dict[str, dict[str, dict[str | None, Row]]] = {}
    for row in result["measurements"]:
        rows.setdefault(row["unit"], {}).setdefault(row["quantity"], {})[row["input"]] = row
    verdicts = _verdicts(result)
    ordered = sorted(result["units"], key=lambda record: record["index"])
    return [
        ReportUnit(record, f"unit-{place}", _both(verdicts, record["name"]), rows.get(record["name"], {}))
        for place, record in enumerate(ordered)
    ]


def network_verdicts(result: Mapping[str, Any]) -> tuple[ReportVerdict, ReportVerdict]:
    """Return the verdicts on the whole network, for the sum maps and for the whole units."""
    return _both(_verdicts(result), None)


def worst(units: list[ReportUnit]) -> ReportUnit | None:
    """Return the unit to look at first; None where nothing was measured."""
    measured = [unit for unit in units if unit.rows]
    return min(measured, key=lambda unit: unit.concern, default=None)


def _both(
    verdicts: Mapping[tuple[str | None, str], ReportVerdict], name: str | None
) -> tuple[ReportVerdict, ReportVerdict]:
    def one(which: str) -> ReportVerdict:
        return verdicts.get((name, which)) or ReportVerdict(which, STATES["not_run"], _ABSENT)

    return one("sum"), one("unit")


def _verdicts(result: Mapping[str, Any]) -> dict[tuple[str | None, str], ReportVerdict]:
    return {
        (stored["unit"], stored["map"]): ReportVerdict(
            which=stored["map"],
            state=STATES[stored["state"]],
            sentence=stored["sentence"],
            domain=stored["domain"],
            arithmetic=stored["arithmetic"],
            counts=stored["counts"],
            upper_bound=stored["violating_share_upper_95"],
            evidence=stored["evidence"] or {},
        )
        for stored in result["verdicts"]
    }
