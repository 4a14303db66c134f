"""The pictures of a result: some inputs, pairs with one image, and maps of where a unit clips and folds.

A picture illustrates what other parts of the result prove. There is a bounded number of them, and the unit to look at
first is always among those shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.measuring.worker import one_thread
from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.steps.proving import PAIR, PROOFS, witnesses_of
from resnet_diffeo_probe.analysis.steps.raster import Pixels, mosaic, values_picture
from resnet_diffeo_probe.analysis.steps.spatial_maps import is_spatial, map_places, spatial_maps
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.bijectivity import State, Verdict, Witness
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import PixelPair
from resnet_diffeo_probe.inputs import Inputs

__all__ = ["PICTURES", "pictures_json"]

# Units with a pair, inputs shown.
_PAIRED_UNITS, _SHOWN_INPUTS = 8, 8
# Tiles of a mosaic, those that differ most.
_CHANNELS = 9
# Characters of base64 in all.
_MOST_CHARACTERS = 1_400_000


def pictures_json(context: Context) -> dict[str, Any] | None:
    """Return the object `pictures` of a result; None where nothing was measured.

    Args:
        context: the verdicts say which units to look at first; the maps that take a factorisation are kept.

    Raises:
        Unfinished: an interrupt ended the drawing.
        StoreError: what is kept cannot be read or written.
    """
    units = _by_concern(context.plan, context.measured, context.verdicts)
    if not units:
        return None
    album, batch, pair = _Album(), context.batch, context[PAIR]
    witnesses = witnesses_of(context[PROOFS])
    places = map_places(units, context.measured)
    names = [*(name for _, name in places), *_inputs_of(witnesses), *batch.names[:_SHOWN_INPUTS]]
    _add_inputs(album, batch, list(dict.fromkeys(names))[:_SHOWN_INPUTS])
    if isinstance(pair, PixelPair) and (pixels := Pixels.of(pair.x1, batch.preprocessing)):
        album.add("pixel_pair", _pair_of_images(pair.x1, pair.x2, pixels))
    with one_thread():
        for found in spatial_maps(context, places, witnesses):
            album.add("maps", found)
    shown = {p.unit.name for p in units[:_PAIRED_UNITS]}
    for witness in witnesses:
        if witness.unit in shown:
            album.add("pairs", _pair(witness, batch))
    return album.to_json()


PICTURES: Step[dict[str, Any] | None] = Step(
    step_names.PICTURES,
    wanted=lambda settings: not settings.measures,
    run=pictures_json,
    nothing=lambda: None,
)


@dataclass
class _Album:
    """What was drawn so far, and what was left out for its size."""

    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    characters: int = 0
    left_out: int = 0

    def add(self, part: str, entry: dict[str, Any] | None) -> None:
        if entry is None:
            return
        pictures = [value for value in entry.values() if isinstance(value, dict) and "png" in value]
        size = sum(len(picture["png"]) for picture in pictures)
        if self.characters + size > _MOST_CHARACTERS:
            self.left_out += 1
            return
        self.characters += size
        self.parts.setdefault(part, []).append(entry)

    def to_json(self) -> dict[str, Any]:
        parts = {part: self.parts.get(part, []) for part in ("inputs", "maps", "pairs")}
        pixel_pair = self.parts.get("pixel_pair", [None])[0]
        return {**parts, "pixel_pair": pixel_pair, "left_out": self.left_out}


def _by_concern(plan: Plan, measured: Measured, verdicts: Sequence[Verdict]) -> list[UnitPlan]:
    """Return the measured units, those to look at first in front."""
    proven = {v.unit for v in verdicts if v.map == "sum" and v.state is State.NOT_INJECTIVE_PROVEN}

    def concern(unit_plan: UnitPlan) -> tuple[bool, float]:
        signs = [r["sign"].value for r in measured.rows[unit_plan.unit.name].values() if "sign" in r]
        known = [sign for sign in signs if sign is not None]
        return unit_plan.unit.name not in proven, -known.count(-1) / max(1, len(known))

    units = [p for p in plan.units if p.jacobian is not None and measured.rows[p.unit.name]]
    return sorted(units, key=concern)


def _inputs_of(witnesses: Sequence[Witness]) -> Iterator[str]:
    for witness in witnesses:
        yield from (name for name in witness.about.get("inputs", ()) if isinstance(name, str))


def _add_inputs(album: _Album, batch: Inputs, names: Sequence[str]) -> None:
    for index in sorted(batch.names.index(name) for name in names):
        x = batch.part(index, index + 1)
        if pixels := Pixels.of(x, batch.preprocessing):
            about = {"input": batch.names[index], "are_pixels": pixels.are_pixels}
            album.add("inputs", about | {"picture": pixels.picture(x).to_json()})


def _pair(witness: Witness, batch: Inputs) -> dict[str, Any] | None:
    """Return a pair's points and their difference: as images where the unit takes images, else channel by channel."""
    x1, x2 = witness.x1, witness.x2
    if not is_spatial(x1.shape[1:]):
        return None
    about: dict[str, Any] = {"unit": witness.unit, "map": witness.map, "channels": None}
    takes_images = tuple(x1.shape[1:]) == tuple(batch.shape)
    if takes_images and (pixels := Pixels.of(x1, batch.preprocessing)) is not None and pixels.are_pixels:
        return about | _pair_of_images(x1, x2, pixels)
    difference = (x2 - x1)[0]
    energy = (difference**2).flatten(1).sum(1)
    chosen = torch.sort(energy, descending=True, stable=True).indices[:_CHANNELS]
    shown = torch.cat([x1[0, chosen], x2[0, chosen]])
    low, high = float(shown.min()), float(shown.max())
    reach = float(difference[chosen].abs().max())
    return about | {
        "channels": chosen.tolist(),
        "share_shown": float(energy[chosen].sum() / energy.sum()) if float(energy.sum()) > 0 else 0.0,
        "first": mosaic(x1[0, chosen], low, high).to_json(),
        "second": mosaic(x2[0, chosen], low, high).to_json(),
        "difference": mosaic(difference[chosen], -reach, reach).to_json(),
    }


def _pair_of_images(x1: Tensor, x2: Tensor, pixels: Pixels) -> dict[str, Any]:
    """Return two images and their difference, at each position that of the channel which differs most."""
    shown = pixels.shown(x2)
    differences = shown - pixels.shown(x1)
    difference = differences.gather(0, differences.abs().argmax(0, keepdim=True))[0]
    reach = float(difference.abs().max())
    return {
        "outside": float(((shown < 0) | (shown > 1)).double().mean()),
        "share_shown": 1.0,
        "first": pixels.picture(x1).to_json(),
        "second": pixels.picture(x2).to_json(),
        "difference": values_picture(difference, -reach, reach).to_json(),
    }
