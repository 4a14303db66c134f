"""Limits for the numbers of a unit: which there are, where each comes from, and how a file sets them."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_diffeo_probe.analysis.comparing.settings_file import SettingsFile, kind_of, read_settings
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.measures import registry
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.nearest import nearest

__all__ = [
    "LIMITS",
    "Limit",
    "Threshold",
    "default_thresholds",
    "limit_of",
    "read_thresholds",
    "require_units",
    "stored_thresholds",
]


#: By key. A limit without a default exists only where a file sets it.
LIMITS: dict[str, Limit] = {limit.key: limit for limit in registry.LIMITS}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit with a value, as it is stored in a result.

    Attributes:
        limit: what is limited.
        value: the number; None: not limited in these units.
        units: a shell pattern of unit names; None: all.
        origin: where the number comes from.
        set_by: `"default"` or `"file"`; only the latter can trip a gate.
    """

    limit: Limit
    value: float | None
    units: str | None = None
    origin: str = ""
    set_by: str = "default"

    def to_json(self) -> dict[str, Any]:
        """Return an entry of `thresholds` in a result."""
        return {
            "key": self.limit.key,
            "quantity": self.limit.quantity,
            "statistic": self.limit.statistic,
            "bound": self.limit.bound,
            "value": self.value,
            "units": self.units,
            "origin": self.origin,
            "set_by": self.set_by,
        }


def default_thresholds() -> tuple[Threshold, ...]:
    """Return the limits that are shown where no file sets others."""
    return tuple(
        Threshold(limit, limit.default, origin=limit.origin)
        for limit in LIMITS.values()
        if limit.default is not None
    )


def read_thresholds(path: Path | str) -> tuple[Threshold, ...]:
    """Read limits from a TOML file; what it does not name keeps its default.

    A key stands for all units, or in a table `[units."PATTERN"]` for those whose names match. Of several tables that
    match a unit the last holds. `false` takes a limit away.

    Raises:
        ConfigurationError: the file cannot be read or is not TOML, a key is unknown, a value is no number or makes no
            sense.
    """
    source = read_settings(path)
    for_all = {key: value for key, value in source.table.items() if key != "units"}
    found = [_threshold(source, key, value, None) for key, value in for_all.items()]
    found = [*(d for d in default_thresholds() if d.limit.key not in for_all), *found]
    tables = source.table.get("units", {})
    if not isinstance(tables, dict):
        source.refuse_value("units", f"is {kind_of(tables)}, not a table", '[units."layer4.*"]')
    for pattern, table in tables.items():
        if not isinstance(table, dict):
            source.refuse_value(
                pattern, f"is {kind_of(table)}, not a table", f'[units."{pattern}"]', ("units",)
            )
        found += [_threshold(source, key, value, pattern) for key, value in table.items()]
    return tuple(found)


def stored_thresholds(result: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """Return the limits that an analysis was made with; the defaults where it holds none.

    Args:
        result: a valid stored analysis. A key that this version does not know is left out.
    """
    if "thresholds" not in result:
        return default_thresholds()
    return tuple(
        Threshold(LIMITS[entry["key"]], entry["value"], entry["units"], entry["origin"], entry["set_by"])
        for entry in result["thresholds"]
        if entry["key"] in LIMITS
    )


def limit_of(thresholds: Iterable[Threshold], key: str, unit: str) -> Threshold | None:
    """Return what limits a unit: the last entry of the key that matches; None where it is not limited."""
    found = None
    for threshold in thresholds:
        if threshold.limit.key == key and (
            threshold.units is None or fnmatch.fnmatchcase(unit, threshold.units)
        ):
            found = threshold
    return None if found is None or found.value is None else found


def require_units(thresholds: Iterable[Threshold], names: Iterable[str]) -> None:
    """Refuse limits for units that the network does not have.

    Raises:
        ConfigurationError: a pattern matches no name; with the nearest one.
    """
    names = list(names)
    for threshold in thresholds:
        if threshold.units is None or any(fnmatch.fnmatchcase(name, threshold.units) for name in names):
            continue
        near = nearest(threshold.units, names) or next(iter(names), None)
        raise ConfigurationError(
            f"the thresholds for units '{threshold.units}' match none of the {len(names)} units",
            why=f"they are called {', '.join(names[:20])}" + (", …" if len(names) > 20 else ""),
            fix=f'[units."{near}"]' if near else "take the table out",
            code="units-pattern",
        )


def _threshold(source: SettingsFile, key: str, value: Any, units: str | None) -> Threshold:
    table = () if units is None else ("units", units)
    if key not in LIMITS:
        source.refuse_unknown(key, (*LIMITS, "units") if units is None else LIMITS, table)
    limit = LIMITS[key]
    example = f"{key} = {limit.default if limit.default is not None else 0.5}, or {key} = false for no limit"
    if value is False:
        return Threshold(limit, None, units, "taken away by the thresholds file", "file")
    if isinstance(value, bool) or not isinstance(value, int | float):
        source.refuse_value(key, f"is {kind_of(value)}, not a number", example, table)
    if not math.isfinite(value):
        source.refuse_value(key, "is not a finite number", example, table)
    if not limit.low <= value <= limit.high:
        allowed = (
            f"from {limit.low:g} to {limit.high:g}" if limit.high < math.inf else f"{limit.low:g} or more"
        )
        source.refuse_value(key, f"is {value:g}, which no value can be: it is {allowed}", example, table)
    return Threshold(limit, float(value), units, "set by the thresholds file", "file")
