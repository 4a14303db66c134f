"""A stored analysis as pandas data frames; pandas is optional."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.report.text.quantities import DENSITY, in_order
from resnet_diffeo_probe.report.text.units import units_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["measurements", "units"]

_COLUMNS = (
    "unit", "input", "quantity", "value", "evidence", "status", "error", "low", "high", "dtype", "seed", "reason",
)  # fmt: skip
_NUMBERS = ("value", "error", "low", "high")
_NO_INTERVAL = (None, None)


def measurements(result: Mapping[str, Any]) -> DataFrame:
    """Return one measured number a row, in the order of the result.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    pandas = _pandas()
    rows = result["measurements"]
    # column by column: a dictionary a row would take as much memory again as the rows of the result
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        if name in ("low", "high"):
            end = int(name == "high")
            values = ((row.get("interval") or _NO_INTERVAL)[end] for row in rows)
        else:
            values = (row.get(name) for row in rows)
        if name in _NUMBERS:
            numbers = (math.nan if value is None else value for value in values)
            columns[name] = np.fromiter(numbers, dtype=np.float64, count=len(rows))
        else:
            columns[name] = list(values)
    frame = pandas.DataFrame(columns)
    # a column without a single value would pass for one of numbers
    return frame if rows else frame.astype({name: object for name in _COLUMNS if name not in _NUMBERS})


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
