"""A stored analysis as pandas data frames; pandas is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.report.quantities import DENSITY, in_order
from resnet_diffeo_probe.report.units import units_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["measurements", "units"]

_COLUMNS = (
    "unit", "input", "quantity", "value", "evidence", "status", "error", "low", "high", "dtype", "seed", "reason",
)  # fmt: skip


def measurements(result: Mapping[str, Any]) -> DataFrame:
    """Return one measured number a row, in the order of the result.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    pandas = _pandas()
    rows = []
    for row in result["measurements"]:
        low, high = row.get("interval", (None, None))
        rows.append({column: row.get(column) for column in _COLUMNS} | {"low": low, "high": high})
    frame = pandas.DataFrame(rows, columns=list(_COLUMNS))
    return frame.astype(dict.fromkeys(("value", "error", "low", "high"), "float64"))


def units(result: Mapping[str, Any]) -> DataFrame:
    """Return one unit a row, indexed by its name, in network order.

    Columns: dimension, status, reason, the verdict on either map, the counts of signs, and for each quantity its
    median over the inputs (infinite where the middle is).

    Raises:
        ConfigurationError: pandas is not installed.
    """
    pandas = _pandas()
    every = units_of(result)
    keys = {key for unit in every for key in unit.rows if key != "sign"}
    if "logabsdet" in keys:
        keys.add(DENSITY)
    rows = []
    for unit in every:
        counts = unit.counts or {}
        rows.append(
            {
                "unit": unit.name,
                "dimension": unit.record["dimension"],
                "status": unit.record["status"],
                "reason": unit.record["reason"],
                "verdict_sum": unit.verdicts[0].state.key,
                "verdict_unit": unit.verdicts[1].state.key,
                **{
                    f"signs_{key}": counts.get(key)
                    for key in ("positive", "negative", "zero", "undetermined")
                },
                **{q.key: unit.summary(q.key).median for q in in_order(keys)},
            }
        )
    if not rows:
        return pandas.DataFrame()
    frame = pandas.DataFrame(rows).set_index("unit")
    # counts stay whole numbers beside missing ones, medians stay numbers where a unit has none
    kinds = {c: "Int64" if c.startswith("signs_") else "float64" for c in frame.columns[5:]}
    return frame.astype(kinds)


def _pandas() -> Any:
    try:
        import pandas  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "data frames need pandas, which is not installed",
            fix="pip install pandas; or read `study.result['measurements']`, a list of objects",
            code="pandas-missing",
        ) from error
    return pandas
