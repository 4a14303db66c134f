"""The first screen in words: what was looked at, what the verdicts rest on, where they hold, what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.report.text.escaping import count, percent, plural, shape
from resnet_diffeo_probe.report.text.states import MAPS
from resnet_diffeo_probe.report.text.units import ReportUnit, ReportVerdict

__all__ = ["Ground", "Opening", "opening_of"]

# What a verdict that is one says; the others say that there is none.
_JUDGED = ("not_injective_proven", "certified_injective", "no_violation_found", "undetermined")


@dataclass(frozen=True, slots=True)
class Ground:
    """What the verdict on one map of the network stands on.

    Attributes:
        why: sentences with numbers.
        domains: where the units' verdicts hold, each with how many units say so.
        arithmetics: what they were computed in, the same way.
    """

    why: list[str]
    domains: list[tuple[str, str]]
    arithmetics: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Opening:
    """The words of the first screen.

    Attributes:
        subject: what the network is and what was looked at.
        grounds: by key of the map.
        unknown: what is not said, each a sentence.
    """

    subject: str
    grounds: Mapping[str, Ground]
    unknown: list[str]


def opening_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Opening:
    """Return the words of the first screen of a valid result."""
    return Opening(
        subject=_subject(result, units),
        grounds={which: _ground(place, which, result, units) for place, which in enumerate(MAPS)},
        unknown=_unknown(result, units),
    )


def _subject(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> str:
    model, inputs = result["model"], result["inputs"]
    outside = sum(unit.record["status"] == "not_applicable" for unit in units)
    keep = len(units) - outside
    sentence = f"{count(model['parameters'])} parameters, {plural(len(units), 'residual unit')}"
    if outside:
        sentence += f", of which {count(keep)} keep the dimension and could be bijections"
    kind = {"images": "image", "synthetic": "synthetic input"}.get(inputs["kind"], "input")
    sentence += f". Looked at {plural(inputs['count'], kind)} of {shape(inputs['shape'])}"
    if accuracy := inputs["accuracy"]:
        sentence += f", {count(accuracy['correct'])} of them classified rightly"
    return sentence + "."


def _ground(place: int, which: str, result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Ground:
    verdicts = [unit.verdicts[place] for unit in units]
    why = _signs(units) if which == "sum" else _clipping(units)
    why += _pairs(which, result)
    if which == "sum":
        why += _certificates(result)
    return Ground(why, _grouped(verdict.domain for verdict in verdicts), _grouped(map(_arithmetic, verdicts)))


def _signs(units: Sequence[ReportUnit]) -> list[str]:
    seen = [unit.counts for unit in units if unit.counts is not None and unit.signs]
    if not seen:
        return []
    both = sum(bool(counts["positive"] and counts["negative"]) for counts in seen)
    return [f"det J has both signs at the inputs of {count(both)} of {plural(len(seen), 'unit')}."]


def _clipping(units: Sequence[ReportUnit]) -> list[str]:
    """Return in how many of the units that keep the dimension a coordinate was clipped at some input."""
    asked = [unit for unit in units if unit.record["status"] != "not_applicable"]
    most = [high for unit in asked if (high := unit.summary("clipped_fraction").high) is not None]
    if not most:
        return []
    clipping = sum(high > 0 for high in most)
    said = f"{count(clipping)} of {plural(len(most), 'unit')}"
    return [f"A ReLU after the addition sets coordinates to zero in {said}."]


def _pairs(which: str, result: Mapping[str, Any]) -> list[str]:
    pairs = [entry for entry in result.get("witnesses", ()) if entry["map"] == which and entry["is_proof"]]
    if not pairs:
        return []
    inside = _part(sum(entry["in_orthant"] for entry in pairs), len(pairs))
    where = f", {inside} without a negative coordinate, as a ReLU gives them" if inside else ""
    twice = _part(sum(len(entry["checked_by"]) > 1 for entry in pairs), len(pairs))
    checked = f", {twice} through the network’s own module too" if twice else ""
    return [f"{plural(len(pairs), 'pair')} x₁ ≠ x₂ with one image{where}. Run again in float64{checked}."]


def _part(some: int, of: int) -> str:
    return "" if not some else "all" if some == of else f"{count(some)} of them"


def _certificates(result: Mapping[str, Any]) -> list[str]:
    bounds = [entry for entry in result.get("certificates", ()) if entry["scope"] == "global"]
    if not bounds:
        return []
    said = f"{count(sum(entry['holds'] for entry in bounds))} of {plural(len(bounds), 'unit')}"
    return [f"The Lipschitz constant of the branch is proven to be below 1 in {said}."]


def _arithmetic(verdict: ReportVerdict) -> str | None:
    """Return the arithmetic without what differs from unit to unit, which stands with the unit."""
    return verdict.arithmetic.split(" (", 1)[0] if verdict.arithmetic else None


def _grouped(said: Any, most: int = 3) -> list[tuple[str, str]]:
    """Return texts with how many units say so, the most frequent first."""
    counted = Counter(text for text in said if text)
    ranked = sorted(counted.items(), key=lambda pair: -pair[1])
    shown = [(text, plural(units, "unit")) for text, units in ranked[:most]]
    rest = sum(units for _, units in ranked[most:])
    return [*shown, ("stated with the unit", plural(rest, "more unit"))] if rest else shown


def _unknown(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> list[str]:
    said = []
    judged = [unit for unit in units if unit.verdicts[0].state.key in _JUDGED]
    open_ = [unit for unit in judged if unit.verdicts[0].state.key == "no_violation_found"]
    unsure = [unit for unit in judged if unit.verdicts[0].state.key == "undetermined"]
    unrun = [unit for unit in units if unit.verdicts[0].state.key == "not_run"]
    everywhere = {
        entry["unit"]
        for entry in result.get("certificates", ())
        if entry["scope"] == "local" and entry["holds"] and entry.get("radius") is None
    }
    covered = [unit for unit in open_ if unit.record["name"] in everywhere]
    open_ = [unit for unit in open_ if unit.record["name"] not in everywhere]
    if covered:
        proven = "a certified ball is all of Rⁿ, by computations whose rounding is not bounded throughout"
        said.append(f"The rounding of the proof for {_named(covered)}: {proven}.")
    if open_:
        known = [bound for unit in open_ if (bound := unit.verdicts[0].upper_bound) is not None]
        share = (
            f" The other sign may occur at up to {percent(max(known))} of such inputs (95\u00a0%)."
            if known
            else ""
        )
        none = "no violation was found at the inputs, and no proof covers others"
        said.append(f"Whether the sum map folds in {_named(open_)}: {none}.{share}")
    if unsure:
        said.append(f"The sign in {_named(unsure)}: it is within rounding of zero at some input.")
    if unrun:
        said.append(f"Anything about {_named(unrun)}: not run, for the reason that stands in the unit table.")
    if judged:
        said.append(
            "Whether the network as a whole is injective: verdicts are on single units, each by itself."
        )
    if result.get("witnesses"):
        where = "they lie in the unit’s input space, at the stated distance from real inputs"
        said.append(f"Whether images ever reach the points of a pair: {where}.")
    if result["model"]["architecture_assumed"]:
        said.append(
            "Whether the architecture is the right one: it was inferred from names and shapes of the weights."
        )
    return said


def _named(units: Sequence[ReportUnit], most: int = 4) -> str:
    names = [unit.name for unit in units]
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {plural(len(names) - most + 1, 'more unit')}"
