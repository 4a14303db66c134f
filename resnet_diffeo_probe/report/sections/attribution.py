"""The attribution of a result: which units carry the predictions, and where in the image a violation sits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.report.figures.attribution import Bar, colour_name, draw_bars
from resnet_diffeo_probe.report.figures.raster import GREY, SIGNED, source_of
from resnet_diffeo_probe.report.text.escaping import label, number, percent, plural, visible
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["Attribution", "Carrier", "Mapped", "Overlay", "attribution_of"]

Entry = Mapping[str, Any]
_TITLES = {
    "clipped_energy": "clipped energy",
    "log_sigma_min": "log σ_min",
    "narrow_direction": "narrow direction",
}


@dataclass(frozen=True, slots=True)
class Carrier:
    """What one unit carries; numbers as stored, None where there are none."""

    unit: ReportUnit
    entry: Entry

    def median(self, key: str) -> float | None:
        """Return the median over the inputs of `share`, `branch` or `logit_drop`."""
        spread = self.entry[key]
        return None if spread is None else spread["median"]


@dataclass(frozen=True, slots=True)
class Overlay:
    """A map over the pixels, to be laid over an image.

    Attributes:
        title: what is mapped.
        alt: the text alternative with its numbers.
        caption: below it: its numbers, or why there is no picture.
        source: `data:` URI of the map; None where it cannot be read.
        width: of the map, in its pixels.
        height: likewise.
    """

    title: str
    alt: str
    caption: str
    source: str | None = None
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Mapped:
    """One input with the maps of units over it.

    Attributes:
        name: of the input, visible.
        image: `data:` URI; None where the input is no picture.
        units: each with its maps.
    """

    name: str
    image: str | None
    units: list[tuple[ReportUnit, list[Overlay]]]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What the section shows.

    Attributes:
        stored: the object of the result.
        carriers: units in network order.
        charts: title, picture and caption of each chart.
        agreement: the sentence on attribution against ablation; None without attribution.
        complete: how many inputs have a complete attribution.
        mapped: the inputs with maps.
        gaps: why maps are missing, each reason with its units.
    """

    stored: Entry
    carriers: list[Carrier]
    charts: list[tuple[str, Markup, str]]
    agreement: str | None
    complete: int
    mapped: list[Mapped]
    gaps: list[tuple[str, list[str]]]


def attribution_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Attribution | None:
    """Return the attribution of a valid result; None where it has none."""
    stored = result.get("attribution")
    if not stored:
        return None
    entries = {entry["unit"]: entry for entry in stored["units"]}
    carriers = [Carrier(unit, entries[unit.name]) for unit in units if unit.name in entries]
    return Attribution(
        stored=stored,
        carriers=carriers,
        charts=_charts(stored, carriers),
        agreement=_agreement(stored["agreement"]),
        complete=sum(entry["complete"] for entry in stored["inputs"]),
        mapped=_mapped(stored, units),
        gaps=_gaps(stored["maps"]),
    )


def _charts(stored: Entry, carriers: Sequence[Carrier]) -> list[tuple[str, Markup, str]]:
    inputs = plural(sum(entry["reason"] is None for entry in stored["inputs"]), "input")
    colours = _colours(carriers)
    plans = (
        (
            "share",
            "Share of the prediction through the branch",
            percent,
            f"Conductance over the change of the logit from the baseline; the rest passes through the shortcut. Median "
            f"and range over {inputs}. Below 0: the branch speaks against the class. ▲▼: the range goes on. {colours}",
        ),
        (
            "logit_drop",
            "Drop of the logit without the branch",
            number,
            f"The check: the branch set to zero. Median and range over {inputs}, in logits.",
        ),
    )
    charts = []
    for key, title, write, caption in plans:
        if any(carrier.entry[key] for carrier in carriers):
            bars = [_bar(carrier, key) for carrier in carriers]
            said = "; ".join(_said(carrier, key, write) for carrier in carriers)
            alt = f"{title}, median [least, greatest] over {inputs}: {said}."
            charts.append(
                (title, draw_bars(bars, write=write, prefix=f"attribution-{key}", alt=alt), caption)
            )
    return charts


def _colours(carriers: Sequence[Carrier]) -> str:
    """Say what the colours mean that are there."""
    said: dict[str, list[str]] = {}
    for state in {carrier.unit.verdicts[0].state: None for carrier in carriers}:
        said.setdefault(colour_name(state), []).append(f"{state.icon} {state.word.lower()}")
    return "Sum map, " + "; ".join(f"{colour}: {', '.join(words)}" for colour, words in said.items()) + "."


def _bar(carrier: Carrier, key: str) -> Bar:
    spread = carrier.entry[key] or {"median": None, "least": None, "greatest": None}
    return Bar(
        label(carrier.unit.name),
        carrier.unit.verdicts[0].state,
        spread["median"],
        spread["least"],
        spread["greatest"],
    )


def _said(carrier: Carrier, key: str, write: Any) -> str:
    spread, name = carrier.entry[key], visible(carrier.unit.name)
    word = carrier.unit.verdicts[0].state.word.lower()
    if spread is None:
        return f"{name} ({word}) not known"
    return (
        f"{name} ({word}) {write(spread['median'])} [{write(spread['least'])}, {write(spread['greatest'])}]"
    )


def _agreement(stored: Entry | None) -> str | None:
    if stored is None:
        return None
    if stored["median"] is None:
        reason = stored["reason"] or "no reason is stored"
        return f"Whether conductance and ablation order the units alike is not known: {reason}."
    known = [value for value in stored["correlations"] if value is not None]
    median = stored["median"]
    word = "much alike" if median >= 0.7 else "somewhat alike" if median >= 0.4 else "differently"
    spread = f" (from {number(min(known), 2)} to {number(max(known), 2)})" if len(known) > 1 else ""
    return (
        f"Conductance and ablation order the {stored['units']} units {word}: their rank correlation is "
        f"{number(median, 2)}{spread}, median over {plural(len(known), 'input')}. Conductance splits the path from the "
        "baseline, ablation asks what the rest does without a branch: where the two differ, neither is the importance "
        "of a unit."
    )


def _mapped(stored: Entry, units: Sequence[ReportUnit]) -> list[Mapped]:
    images = {entry["input"]: source_of(entry["picture"], GREY) for entry in stored["images"]}
    by_name = {unit.name: unit for unit in units}
    groups: dict[str, dict[str, list[Overlay]]] = {}
    for entry in stored["maps"]:
        if entry["picture"] is not None and entry["unit"] in by_name:
            groups.setdefault(entry["input"], {}).setdefault(entry["unit"], []).append(_overlay(entry))
    return [
        Mapped(visible(name), images.get(name), [(by_name[unit], maps) for unit, maps in found.items()])
        for name, found in groups.items()
    ]


def _overlay(entry: Entry) -> Overlay:
    title, picture = _TITLES[entry["of"]], entry["picture"]
    source = source_of(picture, SIGNED)
    says, peak = _value(entry), ""
    if numbers := entry["numbers"]:
        half, positions = numbers["positions_with_half"], numbers["positions"]
        says += f"; half of all in {half:,} of {plural(positions, 'pixel')}"
        peak = (
            f"; largest at row {numbers['row']}, column {numbers['column']}: {number(numbers['greatest'], 3)}"
        )
    alt = f"{title} of {visible(entry['unit'])} over the pixels of {visible(entry['input'])}: {says}{peak}"
    if source is None:
        return Overlay(title, alt, "The stored picture cannot be read.")
    return Overlay(title, alt, says, source, picture["width"], picture["height"])


def _value(entry: Entry) -> str:
    """Return the number that is mapped, and how complete its map is."""
    if entry["of"] == "clipped_energy":
        start, value = (number(entry[key], 3) for key in ("baseline_value", "value"))
        return f"{start} → {value}, error {number(entry['completeness_error'], 2)}"
    symbol = "" if entry["of"] == "log_sigma_min" else "σ_min "
    return f"{symbol}= {number(entry['value'], 3)}"


def _gaps(maps: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Return the reasons for missing maps, each once with its units."""
    found: dict[str, dict[str, None]] = {}
    for entry in maps:
        if entry["picture"] is None:
            said = f"{_TITLES[entry['of']]}: {(entry['reason'] or 'no reason is stored').rstrip('.')}"
            found.setdefault(said, {})[visible(entry["unit"])] = None
    return [(reason, list(names)) for reason, names in found.items()]
