"""Read the shipped references."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.setting import SETTINGS
from resnet_diffeo_probe.references.weights import data_file

__all__ = ["DEFAULT_SETTING", "shipped_references", "unit_distribution"]

DEFAULT_SETTING = "reliable"


@cache
def shipped_references(setting: str = DEFAULT_SETTING) -> dict[str, Any]:
    """Return the references of a setting: `provenance`, `probabilities` and `networks` by letter.

    Raises:
        ConfigurationError: an unknown setting.
    """
    path = data_file(f"references_{setting}.json")
    if setting not in SETTINGS or not path.is_file():
        raise ConfigurationError(
            f"no shipped references of setting {setting!r}", fix=f"choose one of: {', '.join(SETTINGS)}"
        )
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def unit_distribution(network: str, quantity: str, setting: str = DEFAULT_SETTING) -> NDArray[np.float64]:
    """Return the sorted summaries of a quantity over all units of all good seeds of a network."""
    rows = shipped_references(setting)["networks"][network]["units"][quantity]
    values = np.array([np.nan if v is None else v for row in rows for v in row], dtype=np.float64)
    return np.sort(values[np.isfinite(values)])
