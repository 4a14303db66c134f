"""Where the units of two spiral networks lie: bands behind the depth charts, from the shipped references."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_diffeo_probe.measures.registry import MEASURES
from resnet_diffeo_probe.references.catalogue import unit_distribution
from resnet_diffeo_probe.report.figures import svg

__all__ = ["Band", "bands_for", "draw_bands", "words"]

# (d) is the network nearest to a flow, (a) the one that nothing kept from folding
_NETWORKS = ("d", "a")
# what a chart shows, by the chart's key
_REFERENCES = {
    chart.key: measure.reference
    for measure in MEASURES
    if measure.reference is not None
    for chart in measure.charts
}
_LOOKS: dict[str, dict[str, Any]] = {
    "d": {"color": svg.GREY, "linestyle": "solid", "alpha": 0.30},
    "a": {"color": svg.ORANGE, "linestyle": (0, (3, 2)), "alpha": 0.13},
}


@dataclass(frozen=True, slots=True)
class Band:
    """Where the units of one spiral network lie: median and 5–95 %."""

    network: str
    low: float
    median: float
    high: float


def bands_for(key: str) -> tuple[Band, ...]:
    """Return the bands of a quantity, none where the references have no such quantity."""
    reference = _REFERENCES.get(key)
    if reference is None:
        return ()
    bands = []
    for network in _NETWORKS:
        low, median, high = map(
            float, np.quantile(unit_distribution(network, reference.key), (0.05, 0.5, 0.95))
        )
        if reference.inverted:
            low, median, high = (1 / value if value > 0 else math.inf for value in (high, median, low))
        bands.append(Band(network, low, median, high))
    return tuple(bands)


def draw_bands(axes: Any, bands: Sequence[Band], top: float) -> None:
    """Draw the bands behind everything else; an infinite edge is the top of the picture.

    Args:
        axes: of matplotlib, with its limits set.
        bands: to draw.
        top: upper limit of the vertical axis.
    """
    for band in bands:
        look = _LOOKS[band.network]
        line = {"color": look["color"], "linestyle": look["linestyle"], "zorder": 0.7}
        low, high = min(band.low, top), min(band.high, top)
        axes.axhspan(low, high, facecolor=look["color"], alpha=look["alpha"], linewidth=0, zorder=0.5)
        for edge in (band.low, band.high):
            if math.isfinite(edge):
                axes.axhline(edge, linewidth=0.9, **line)
        if math.isfinite(band.median):
            axes.axhline(band.median, linewidth=1.7, **line)


def words(bands: Sequence[Band], write: Callable[[float | None], str]) -> str:
    """Return the bands as a sentence for a text alternative."""
    parts = [
        f"({band.network}) {write(band.median)} [{write(band.low)}, {write(band.high)}]" for band in bands
    ]
    return f" Spiral networks, median [5 %, 95 %] of their units: {'; '.join(parts)}." if parts else ""
