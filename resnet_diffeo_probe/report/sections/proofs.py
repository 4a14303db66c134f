"""What proves the verdicts: pairs of points with one image, and certificates of injectivity."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.report.figures.panel import Column, Panel, draw_panel
from resnet_diffeo_probe.report.sections.detail import plain
from resnet_diffeo_probe.report.text.escaping import label, number, plural, visible
from resnet_diffeo_probe.report.text.snippet import snippet
from resnet_diffeo_probe.report.text.states import MAPS
from resnet_diffeo_probe.report.text.units import ReportUnit, ReportVerdict

__all__ = ["Balls", "Bound", "Link", "Pair", "ProofsSection", "proofs_of"]

Entry = Mapping[str, Any]
_IN_THE_TABLE = frozenset(
    {"unit", "map", "kind", "is_proof", "distance", "relative_distance", "gap", "in_orthant"}
)
NORMS = {"l2": "Euclidean", "linf": "largest coordinate"}


@dataclass(frozen=True, slots=True)
class Link:
    """From a verdict to what proves it."""

    anchor: str
    word: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A witness: two points with one image.

    Attributes:
        unit: whose points they are.
        anchor: its place in the page.
        entry: as stored.
        map_name: which map gives them one image.
        facts: every stored field as names and values.
        snippet: lines of plain PyTorch that check it.
    """

    unit: ReportUnit
    anchor: str
    entry: Entry
    map_name: str
    facts: list[tuple[str, str]]
    snippet: Markup

    @property
    def relative_gap(self) -> float | None:
        """Return the gap relative to the distance: a proof has at most 1e-9."""
        distance: float = self.entry["distance"]
        return self.entry["gap"] / distance if distance else None

    def size(self, which: str) -> float | None:
        """Return a relative size, `first` or `grown`, None where it is not stored."""
        value = self.entry.get(f"{which}_relative_distance")
        return value if isinstance(value, int | float) else None

    @property
    def fold_distance(self) -> float | None:
        """Return the distance of the fold to the nearest input relative to its norm, if stored."""
        value = self.entry.get("fold_distance", self.entry.get("input_distance"))
        return value if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of the Lipschitz constant of a branch, and what it says."""

    unit: ReportUnit
    anchor: str
    entry: Entry

    @property
    def slack(self) -> float | None:
        """Return the bound relative to the lower bound: 1 would be tight."""
        upper, lower = self.entry.get("lipschitz_upper"), self.entry.get("lipschitz_lower")
        return upper / lower if upper is not None and lower else None

    @property
    def says(self) -> str:
        """Return the conclusion in words."""
        upper = self.entry.get("lipschitz_upper")
        if self.entry["holds"]:
            return "below 1: a bijection of Rⁿ"
        return "no bound" if upper is None else "not below 1: proves nothing"


@dataclass(frozen=True, slots=True)
class Balls:
    """The certified balls of one unit in one norm.

    Attributes:
        unit: whose inputs they lie around.
        anchor: their place in the page.
        norm: what measures the radius, in words.
        tried: inputs that were looked at.
        holding: of those, with a radius above 0.
        radii: of all, infinite where a ball is all of Rⁿ.
        ratio: median of radius over classical radius, None where none is stored.
        notes: the different criteria, limits and arithmetics.
    """

    unit: ReportUnit
    anchor: str
    norm: str
    tried: int
    holding: int
    radii: list[float]
    ratio: float | None
    notes: list[str]

    @property
    def whole_space(self) -> bool:
        """Whether a ball is all of Rⁿ."""
        return math.inf in self.radii

    @property
    def median(self) -> float:
        """Return the median radius."""
        return statistics.median(self.radii)


@dataclass(frozen=True, slots=True)
class ProofsSection:
    """The whole screen.

    Attributes:
        pairs: in the order of the units.
        bounds: in the order of the units.
        bounds_chart: every bound against 1; None without a number.
        balls: in the order of the units.
        pixels: two images with the same features, or why there are none; None where none were looked for.
        links: by anchor of the unit and key of the map, what proves the verdict.
    """

    pairs: list[Pair]
    bounds: list[Bound]
    bounds_chart: Markup | None
    balls: list[Balls]
    pixels: Entry | None
    links: dict[tuple[str, str], list[Link]]

    @property
    def pairs_by_unit(self) -> list[tuple[ReportUnit, list[Pair]]]:
        """Return the pairs of each unit together."""
        grouped: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            grouped.setdefault(pair.unit.anchor, []).append(pair)
        return [(pairs[0].unit, pairs) for pairs in grouped.values()]

    @property
    def featured(self) -> Pair | None:
        """Return the pair to look at first: a proof, of the unit to look at first."""
        proofs = [pair for pair in self.pairs if pair.entry["is_proof"]]
        # of one unit the sum map comes first, as stored
        return min(proofs, key=lambda pair: pair.unit.concern, default=None)

    @property
    def balls_have_ratios(self) -> bool:
        """Return whether a classical radius is stored anywhere."""
        return any(balls.ratio is not None for balls in self.balls)

    @property
    def ball_notes(self) -> list[tuple[str, list[str]]]:
        """Return how the radii were proven, each way once with the units of which it is said."""
        found: dict[str, dict[str, None]] = {}
        for balls in self.balls:
            for note in balls.notes:
                found.setdefault(note, {})[balls.unit.name] = None
        return [(note, list(names)) for note, names in found.items()]

    def of(self, unit: ReportUnit, which: str) -> list[Link]:
        """Return the links of a verdict."""
        return self.links.get((unit.anchor, which), [])

    def or_evidence(self, unit: ReportUnit, verdict: ReportVerdict) -> list[Link]:
        """Return the links of a verdict; a proof without a pair, such as two signs, stands with the unit."""
        links = self.of(unit, verdict.which)
        proven = verdict.state.key == "not_injective_proven" and (self.pairs or self.bounds)
        return links or ([Link(unit.anchor, "evidence")] if proven else [])


def proofs_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> ProofsSection:
    """Return witnesses and certificates of a valid result; empty lists where it has none."""
    witnesses = _by_unit(result.get("witnesses", ()))
    certificates = _by_unit(result.get("certificates", ()))
    pairs = [pair for unit in units for pair in _pairs(unit, witnesses.get(unit.name, []))]
    bounds: list[Bound] = []
    balls: list[Balls] = []
    for unit in units:
        mine = certificates.get(unit.name, [])
        globals_ = [entry for entry in mine if entry["scope"] == "global"]
        bounds += [Bound(unit, _anchor("bound", unit, place), entry) for place, entry in enumerate(globals_)]
        for norm in sorted({entry.get("norm", "") for entry in mine if entry["scope"] == "local"}):
            here = [e for e in mine if e["scope"] == "local" and e.get("norm", "") == norm]
            balls.append(_balls(unit, norm, here))
    return ProofsSection(
        pairs, bounds, _chart(bounds), balls, result.get("pixel_pair"), _links(pairs, bounds)
    )


def _by_unit(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry["unit"], []).append(entry)
    return found


def _anchor(kind: str, unit: ReportUnit, place: int) -> str:
    return f"{kind}-{unit.anchor}" + (f"-{place + 1}" if place else "")


def _pairs(unit: ReportUnit, entries: Sequence[Entry]) -> list[Pair]:
    pairs = []
    for which, (map_name, _) in MAPS.items():
        for place, entry in enumerate(e for e in entries if e["map"] == which):
            facts = [
                (key.replace("_", " "), _fact(value))
                for key, value in entry.items()
                if key not in _IN_THE_TABLE and value is not None
            ]
            # as markup its line ends stay line ends; names in it are literals of printable ASCII
            lines = Markup.escape(snippet(unit.name, which, entry["file"], unit.record["activation"]))
            pairs.append(Pair(unit, _anchor(f"pair-{which}", unit, place), entry, map_name, facts, lines))
    return pairs


def _fact(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else plain(value)


def _balls(unit: ReportUnit, norm: str, entries: Sequence[Entry]) -> Balls:
    radii = [_radius(entry) for entry in entries]
    ratios = [
        radius / entry["classical_radius"]
        for radius, entry in zip(radii, entries, strict=True)
        if entry.get("classical_radius")
    ]
    notes = dict.fromkeys(
        f"{key.replace('_', ' ')}: {entry[key]}"
        for entry in entries
        for key in ("criterion", "limited_by", "arithmetic", "reason")
        if entry.get(key)
    )
    return Balls(
        unit=unit,
        anchor=f"balls-{norm or 'ball'}-{unit.anchor}",
        norm=NORMS.get(norm, "not stated"),
        tried=len(entries),
        holding=sum(entry["holds"] for entry in entries),
        radii=radii,
        ratio=statistics.median(ratios) if ratios else None,
        notes=list(notes),
    )


def _radius(entry: Entry) -> float:
    radius: float | None = entry.get("radius")
    return radius if radius is not None else math.inf if entry["holds"] else 0.0


def _chart(bounds: Sequence[Bound]) -> Markup | None:
    columns, parts = [], []
    for bound in bounds:
        stored = [bound.entry.get(key) for key in ("lipschitz_lower", "lipschitz_upper")]
        values = tuple(value for value in stored if value is not None and value > 0)
        columns.append(Column(label(bound.unit.name), values, None, absent="" if values else "no bound"))
        parts.append(f"{visible(bound.unit.name)} {number(stored[0])} to {number(stored[1])}")
    if not any(column.values for column in columns):
        return None
    alt = (
        "Lipschitz constant of the branch, lower bound to proven upper bound, for each of "
        f"{plural(len(bounds), 'unit')}: {'; '.join(parts)}. Line at 1."
    )
    return draw_panel(Panel(log=True, line=1.0, spans=True), columns, prefix="bounds", alt=alt)


def _links(pairs: Sequence[Pair], bounds: Sequence[Bound]) -> dict[tuple[str, str], list[Link]]:
    links: dict[tuple[str, str], list[Link]] = {}
    for pair in pairs:
        if pair.entry["is_proof"]:
            links.setdefault((pair.unit.anchor, pair.entry["map"]), []).append(Link(pair.anchor, "pair"))
    for bound in bounds:
        if bound.entry["holds"]:
            for verdict in bound.unit.verdicts:
                # the bound speaks of the sum map; of the whole unit where its verdict says so
                if verdict.which == "sum" or verdict.state.key == "certified_injective":
                    key = bound.unit.anchor, verdict.which
                    links.setdefault(key, []).append(Link(bound.anchor, "certificate"))
    return links
