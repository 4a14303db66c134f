"""Where a unit of any network falls among the spiral references."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resnet_diffeo_probe.measures.registry import MEASURES
from resnet_diffeo_probe.references.catalogue import DEFAULT_SETTING, shipped_references, unit_distribution
from resnet_diffeo_probe.references.quantities import QUANTITIES, on_scale

__all__ = ["Place", "UnitMeasures", "compare", "measures_from_rows"]

# where a value lies far outside a reference's range, how far no longer matters for which one is the nearest
FARTHEST = 10.0

# what is compared, by the quantity whose rows are stored
_STORED = {m.per_dimension_of or m.key: m.reference for m in MEASURES if m.reference is not None}


@dataclass(frozen=True, slots=True)
class UnitMeasures:
    """What was measured of one unit, input by input.

    Attributes:
        unit: its name.
        values: for names in `QUANTITIES` the numbers at single inputs; `negative_share` holds 1 where det
            J < 0 and 0 elsewhere. Names may be missing, and numbers that are not finite are left out.
    """

    unit: str
    values: Mapping[str, Sequence[float]]

    def summaries(self) -> dict[str, float]:
        """Return one number a quantity: the mean or median over the inputs."""
        found = {}
        for name, quantity in QUANTITIES.items():
            values = np.array([v for v in self.values.get(name, ()) if v is not None], dtype=np.float64)
            values = values[np.isfinite(values)]
            if values.size:
                found[name] = float(values.mean() if quantity.summary == "mean" else np.median(values))
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit falls.

    Attributes:
        unit: its name.
        nearest: the letter of the nearest reference, None where nothing was measured.
        percentiles: network -> quantity -> percentage of that network's units with a smaller summary (half of
            the equal ones counted).
        distances: network -> mean distance over the quantities, in interquartile ranges of the network's
            units.
        summaries: the unit's own numbers.
    """

    unit: str
    nearest: str | None
    percentiles: dict[str, dict[str, float]]
    distances: dict[str, float] = field(default_factory=dict)
    summaries: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with `unit`, `nearest`, `percentiles`, `distances` and `summaries`."""
        return {
            "unit": self.unit,
            "nearest": self.nearest,
            "percentiles": self.percentiles,
            "distances": self.distances,
            "summaries": self.summaries,
        }


def compare(unit: UnitMeasures, setting: str = DEFAULT_SETTING) -> Place:
    """Place a unit among the units of the four networks.

    The distance to a network is the mean over the measured quantities of |value - median| in interquartile
    ranges, on each quantity's own scale and cut off at ten; it ranks, and has no other meaning.

    Args:
        unit: what was measured.
        setting: which references.

    Raises:
        ConfigurationError: an unknown setting.
    """
    own = unit.summaries()
    percentiles: dict[str, dict[str, float]] = {}
    distances: dict[str, float] = {}
    for network in shipped_references(setting)["networks"]:
        percentiles[network] = {}
        apart = []
        for name, value in own.items():
            reference = unit_distribution(network, name, setting)
            below = np.searchsorted(reference, value, side="left")
            not_above = np.searchsorted(reference, value, side="right")
            percentiles[network][name] = round(50.0 * float(below + not_above) / reference.size, 2)
            apart.append(_distance(name, value, reference))
        if apart:
            distances[network] = round(math.fsum(apart) / len(apart), 4)
    nearest = min(distances, key=lambda network: distances[network]) if distances else None
    return Place(unit.unit, nearest, percentiles, distances, own)


def _distance(name: str, value: float, reference: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    quantity = QUANTITIES[name]
    low, middle, high = np.quantile(on_scale(quantity, reference), [0.25, 0.5, 0.75])
    placed = float(on_scale(quantity, np.array([value]))[0])
    return min(abs(placed - float(middle)) / max(float(high - low), quantity.least_spread), FARTHEST)


def measures_from_rows(unit: str, dimension: int, rows: Iterable[Mapping[str, Any]]) -> UnitMeasures:
    """Gather a unit's measures from the rows of a stored analysis.

    Args:
        unit: the unit's name; rows of others are passed over.
        dimension: n, for log|det J| / n.
        rows: objects with `unit`, `quantity`, `value` and `status`, as in result.json; those are used whose measure,
            or what is derived from it, has a reference. Status "infinite" counts as 1 / h* = 0.
    """
    values: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for row in rows:
        if row["unit"] != unit:
            continue
        value, status, reference = row["value"], row["status"], _STORED.get(row["quantity"])
        if reference is None:
            continue
        if reference.inverted and status == "infinite":
            values[reference.key].append(0.0)
        if value is None or status not in ("ok", "singular"):
            continue
        if not reference.inverted:
            values[reference.key].append(reference.of_value(value, dimension))
        elif value > 0:
            values[reference.key].append(1.0 / value)
    return UnitMeasures(unit, values)
