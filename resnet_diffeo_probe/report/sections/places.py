"""Where the units fall among the spiral networks: a table, and a figure for each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.references.quantities import QUANTITIES
from resnet_diffeo_probe.report.figures.places import draw_place
from resnet_diffeo_probe.report.sections.spirals import Spiral, spirals_of
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["NETWORKS", "PlaceLine", "Places", "places_of"]

#: The four networks of the paper, and what each is.
NETWORKS = {
    "a": "20 steps, each with weights of its own: free to fold",
    "b": "one field for all steps (shared weights), no penalty",
    "c": "shared weights, inverse consistency asked for at the data",
    "d": "shared weights, inverse consistency asked for everywhere: nearest to a flow",
}


@dataclass(frozen=True, slots=True)
class PlaceLine:
    """Where one unit falls, as stored."""

    unit: ReportUnit
    nearest: str | None
    distances: Mapping[str, float]
    percentiles: Mapping[str, Mapping[str, float]]
    summaries: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Places:
    """The whole screen.

    Attributes:
        places: in the order of the units.
        networks: letters, each with what it is.
        quantities: keys that occur, each with its symbol.
        figures: title, picture and meaning, one for each quantity that the references have.
        spirals: the four networks as pictures, each with the units nearest to it.
    """

    places: list[PlaceLine]
    networks: list[tuple[str, str]]
    quantities: list[tuple[str, Markup]]
    figures: list[tuple[Markup, Markup, str]]
    spirals: list[Spiral]


def places_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Places | None:
    """Return where the units of a valid result fall; None where nothing is stored."""
    stored = {entry["unit"]: entry for entry in result.get("references") or ()}
    if not stored:
        return None
    places = [
        PlaceLine(unit, entry["nearest"], entry["distances"], entry["percentiles"], entry["summaries"])
        for unit in units
        if (entry := stored.get(unit.name)) is not None
    ]
    present = {key for place in places for key in place.summaries}
    present |= {key for place in places for by_key in place.percentiles.values() for key in by_key}
    known = [key for key in QUANTITIES if key in present]
    keys = known + sorted(present - set(known))
    figures = [
        (
            QUANTITIES[key].symbol,
            draw_place(key, {p.unit.name: p.summaries[key] for p in places if key in p.summaries}),
            QUANTITIES[key].meaning.replace("||", "‖").replace(" - ", " − "),
        )
        for key in known
    ]
    symbols = [
        (key, QUANTITIES[key].symbol if key in QUANTITIES else Markup.escape(key.replace("_", " ")))
        for key in keys
    ]
    spirals = spirals_of(NETWORKS, [(place.unit, place.nearest) for place in places])
    return Places(places, list(NETWORKS.items()), symbols, figures, spirals)
