"""The pictures of a result: inputs, pairs with one image, and where in the image a unit clips and folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.report.figures.raster import GREY, SHARE, SIGNED, source_of
from resnet_diffeo_probe.report.text.escaping import count, number, percent, plural, visible
from resnet_diffeo_probe.report.text.states import MAPS
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["Drawn", "Gallery", "MapRow", "Triptych", "gallery_of"]

Entry = Mapping[str, Any]
_KINDS = {
    "clipped": "clipped",
    "singular_vector": "weakest direction",
    "fold_normal": "fold’s normal",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture with its words.

    Attributes:
        source: a `data:` URI; None where there is no picture.
        alt: the text alternative, with the numbers that the picture shows.
        title: above it.
        caption: below it: the numbers, or why there is no picture.
        width: in pixels of the picture.
        height: in pixels of the picture.
    """

    source: str | None
    alt: str
    title: str
    caption: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Triptych:
    """Two points with one image and their difference.

    Attributes:
        pictures: first, second, difference.
        caption: what is shown of them, and at which scale.
        is_images: whether they are images rather than mosaics of channels.
    """

    pictures: list[Drawn]
    caption: str
    is_images: bool


@dataclass(frozen=True, slots=True)
class MapRow:
    """The maps of one unit: its inputs each with what is drawn at it, and its fold."""

    unit: ReportUnit
    places: list[tuple[str, list[Drawn]]]
    fold: Drawn | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """Every picture of a result, where the page wants it.

    Attributes:
        inputs: some of the inputs.
        rows: units with maps, in network order.
        gaps: why there are no maps, with the units of which that is said.
        pairs: by name of the unit and key of the map.
        pixel_pair: two images with the same features.
        left_out: how many more there would have been.
    """

    inputs: list[Drawn]
    rows: list[MapRow]
    gaps: list[tuple[str, list[str]]]
    pairs: Mapping[tuple[str, str], Triptych]
    pixel_pair: Triptych | None
    left_out: int


def gallery_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> Gallery | None:
    """Return the pictures of a valid result; None where it has none."""
    stored = result.get("pictures")
    if not stored:
        return None
    inputs = [_input(entry) for entry in stored["inputs"]]
    thumbnails = {
        entry["input"]: drawn for entry, drawn in zip(stored["inputs"], inputs, strict=True) if drawn.source
    }
    pairs = {(entry["unit"], entry["map"]): _pair(entry) for entry in stored["pairs"] if "map" in entry}
    pixels = stored["pixel_pair"]
    return Gallery(
        inputs=[drawn for drawn in inputs if drawn.source],
        rows=[row for unit in units if (row := _row(unit, stored["maps"], thumbnails)) is not None],
        gaps=_gaps(stored["maps"]),
        pairs=pairs,
        pixel_pair=None if pixels is None else _pair(pixels),
        left_out=stored["left_out"],
    )


def _input(entry: Entry) -> Drawn:
    picture, name = entry["picture"], visible(entry["input"])
    height, width = picture["pooled_from"] or (picture["height"], picture["width"])
    how = "" if entry["are_pixels"] else "; not pixels: black and white are its least and greatest number"
    alt = f"Input {name}, {width} × {height} pixels{how}"
    return _drawn(picture, GREY, alt, title=name, caption="")


def _drawn(picture: Entry, colours: str, alt: str, *, title: str, caption: str) -> Drawn:
    source = source_of(picture, colours)
    if source is None:
        return Drawn(None, alt, title, "The stored picture cannot be read.")
    return Drawn(source, alt, title, caption, picture["width"], picture["height"])


def _row(unit: ReportUnit, maps: Sequence[Entry], thumbnails: Mapping[str, Drawn]) -> MapRow | None:
    """Return the maps of a unit; None where it has no picture at all."""
    mine = [entry for entry in maps if entry["unit"] == unit.name]
    if not any(entry["picture"] for entry in mine):
        return None
    places: dict[str, list[Drawn]] = {}
    for entry in mine:
        if entry["input"] is not None:
            name = visible(entry["input"])
            at_input = places.setdefault(
                name, [thumbnails[entry["input"]]] if entry["input"] in thumbnails else []
            )
            at_input.append(_map(entry))
    folds = [_map(entry) for entry in mine if entry["input"] is None and entry["picture"]]
    return MapRow(unit, list(places.items()), folds[0] if folds else None)


def _map(entry: Entry) -> Drawn:
    unit, kind = visible(entry["unit"]), entry["kind"]
    title = _KINDS[kind]
    if entry["picture"] is None:
        return Drawn(None, "", title, f"Not drawn: {entry['reason'] or 'no reason is stored'}.")
    numbers = {key: value for key, value in entry["numbers"].items() if value is not None}
    at = f"{unit} at input {visible(entry['input'])}" if entry["input"] is not None else unit
    height, width = entry["picture"]["height"], entry["picture"]["width"]
    if kind == "clipped":
        mean, least, most = (percent(numbers.get(key)) for key in ("mean", "least", "greatest"))
        says = f"mean {mean}, {least} to {most}"
        alt = f"Share of channels clipped at each of {width} × {height} positions of {at}: {says}"
    else:
        says = _concentration(numbers)
        what = (
            "direction that the sum map shrinks most" if kind == "singular_vector" else "normal of the fold"
        )
        alt = f"Where the {what} has its energy, {width} × {height} positions of {at}: {says}"
    return _drawn(entry["picture"], SHARE, alt, title=title, caption=says)


def _concentration(numbers: Mapping[str, float]) -> str:
    """Return how concentrated an energy is, and what the direction belongs to."""
    parts = []
    if "stretch" in numbers:
        parts.append(f"‖J v‖ = {number(numbers['stretch'], 3)}")
    if "hidden_index" in numbers:
        layer, index = int(numbers.get("hidden_layer", 0)), int(numbers["hidden_index"])
        parts.append(f"hidden unit {count(index)} of activation {layer}")
    if "positions_with_90_percent" in numbers and "positions" in numbers:
        most, positions = int(numbers["positions_with_90_percent"]), int(numbers["positions"])
        parts.append(f"90\u00a0% in {count(most)} of {plural(positions, 'position')}")
    return ", ".join(parts) or "no numbers are stored"


def _pair(entry: Entry) -> Triptych:
    channels = entry.get("channels")
    whose = f"{visible(entry['unit'])}, {MAPS[entry['map']][0].lower()}" if "map" in entry else "the network"
    what = "image" if channels is None else f"mosaic of {plural(len(channels), 'channel')}"
    difference = entry["difference"]
    reach = difference["scale"][1] if difference["scale"] else 0.0
    pictures = [
        _drawn(
            entry[key],
            GREY,
            f"{title} of {whose}: {what}{_range(entry[key])}",
            title=title,
            caption="",
        )
        for key, title in (("first", "x₁"), ("second", "x₂"))
    ]
    says = f"from −{number(reach, 3)} to {number(reach, 3)}"
    pictures.append(
        _drawn(difference, SIGNED, f"x₂ − x₁ of {whose}: {what}, {says}", title="x₂ − x₁", caption=says)
    )
    return Triptych(pictures, _shown(entry), channels is None)


def _range(picture: Entry) -> str:
    scale = picture["scale"]
    return "" if scale is None else f", {number(scale[0], 3)} black to {number(scale[1], 3)} white"


def _shown(entry: Entry) -> str:
    channels = entry.get("channels")
    if channels is None:
        outside = entry.get("outside")
        range_ = (
            f" {percent(outside)} of its values lie outside of what a picture can show and are cut off here."
            if outside
            else ""
        )
        return f"At each position the difference is that of the colour that differs most.{range_}"
    which = ", ".join(map(str, channels))
    share = percent(entry["share_shown"])
    return (
        f"Channel by channel, those that differ most first ({which}): {share} of the squared distance. "
        f"x₁ and x₂ have one scale{_range(entry['first']).replace(',', ':', 1)}. "
        "In the difference, orange is positive and purple negative."
    )


def _gaps(maps: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Return the reasons why a unit has no normal of a fold, or no map at all, each once with its units."""
    found: dict[str, dict[str, None]] = {}
    drawn = {entry["unit"] for entry in maps if entry["picture"]}
    for entry in maps:
        if entry["picture"] is None and (entry["kind"] == "fold_normal" or entry["unit"] not in drawn):
            said = f"{_KINDS[entry['kind']]}: {entry['reason'] or 'no reason is stored'}"
            found.setdefault(said, {})[visible(entry["unit"])] = None
    return [(reason, list(names)) for reason, names in found.items()]
