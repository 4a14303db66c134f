"""Small pictures of the four spiral networks, shipped: decision regions, points on their way, Jacobian maps."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map
from resnet_diffeo_probe.references.catalogue import DEFAULT_SETTING, shipped_references
from resnet_diffeo_probe.references.paper.spiral_figures import (
    DrawnSeeds,
    draw_determinant,
    draw_flow_step,
    draw_regions,
    growth_of,
    shown_network,
)
from resnet_diffeo_probe.references.paper.style import STYLE
from resnet_diffeo_probe.references.weights import data_file, shipped_weights

__all__ = ["FLOW_STEPS", "draw_pictures", "shipped_pictures"]

#: Units passed at each picture of the flow.
FLOW_STEPS = (0, 4, 8, 12, 16, 20)
_LETTERS = "abcd"
# Pixels a side, and dots an inch at which the marks have the right size.
_LARGE, _SMALL, _DPI = 240, 128, 100
_SIDE, _COLOURS = 240, 48


@cache
def shipped_pictures(setting: str = DEFAULT_SETTING) -> dict[str, Any]:
    """Return the shipped pictures: by letter `seed`, `regions`, `flow` and `determinant`, PNG in base64.

    Raises:
        OSError: the setting has no pictures.
    """
    loaded: dict[str, Any] = json.loads(data_file(f"pictures_{setting}.json").read_text(encoding="utf-8"))
    return loaded


def draw_pictures(setting: str = DEFAULT_SETTING) -> dict[str, Any]:
    """Draw the pictures from the shipped weights: what `shipped_pictures` returns.

    One seed of each network is drawn: the good one whose least determinant is the median.
    """
    networks = shipped_references(setting)["networks"]
    shown = [shown_network(shipped_weights(setting, letter), networks[letter]) for letter in _LETTERS]
    maps = [
        determinant_map(VelocityField(item.one), item.networks.setting.spirals.radius, side=_SIDE)
        for item in shown
    ]
    positive = np.concatenate([np.log2(m.values[m.values > 0]) for m in maps])
    limit = float(np.quantile(np.abs(positive), 0.99))
    pictures: dict[str, Any] = {"log2_limit": limit}
    for item, map_ in zip(shown, maps, strict=True):
        pictures[item.letter] = {
            "seed": item.seed,
            "growth": growth_of(item),
            "least": float(map_.least[0]),
            "greatest": float(map_.greatest[0]),
            "share_not_positive": float((map_.values[0] <= 0).mean()),
            "boundary_length": item.numbers["boundary_length"],
            "regions": _panel(lambda axis, item=item: draw_regions(axis, item, size=3.0), _LARGE),  # type: ignore[misc]
            "flow": [_flow(item, step) for step in FLOW_STEPS],
            "determinant": _panel(lambda axis, m=map_: draw_determinant(axis, m, limit), _LARGE),  # type: ignore[misc]
        }
    return pictures


def _flow(item: DrawnSeeds, step: int) -> dict[str, Any]:
    reach: list[float] = []
    picture = _panel(lambda axis: reach.append(draw_flow_step(axis, item, step, size=1.6, line=0.4)), _SMALL)
    return {"step": step, "reach": reach[0], **picture}


def _panel(draw: Callable[[Any], Any], side: int) -> dict[str, Any]:
    """Return one panel without axes or words, which the page adds: it fits light and dark pages."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side / _DPI, side / _DPI), dpi=_DPI)
        axis = figure.add_axes((0, 0, 1, 1))
        draw(axis)
        axis.set_axis_off()
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    with Image.open(buffer) as image:
        reduced = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    reduced.save(out, format="PNG", optimize=True)
    return {
        "png": base64.b64encode(out.getvalue()).decode(),
        "width": reduced.width,
        "height": reduced.height,
    }
