"""The trained weights behind the references: one file a setting, four networks in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.setting import SETTINGS, Setting
from resnet_diffeo_probe.flows.training.training import Training

__all__ = ["TrainedNetworks", "data_file", "shipped_weights", "store_weights"]


@dataclass(frozen=True, slots=True)
class TrainedNetworks:
    """All seeds of one network of one setting.

    Attributes:
        setting: how they were trained.
        seeds: one a network.
        parameters: the weights, float32.
    """

    setting: Setting
    seeds: tuple[int, ...]
    parameters: Parameters


def data_file(name: str) -> Path:
    """Return the path of a file of this package's data."""
    return Path(str(resources.files("resnet_diffeo_probe.references").joinpath("data", name)))


def shipped_weights(setting: str, network: str) -> TrainedNetworks:
    """Return the shipped networks of a setting.

    Args:
        setting: "reliable" or "paper".
        network: a, b, c or d.

    Raises:
        ConfigurationError: an unknown setting or network.
    """
    path = data_file(f"weights_{setting}.npz")
    if setting not in SETTINGS or not path.is_file():
        raise ConfigurationError(
            f"no shipped networks of setting {setting!r}", fix=f"choose one of: {', '.join(SETTINGS)}"
        )
    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(stored["header"].tobytes().decode())
        if network not in header:
            raise ConfigurationError(f"unknown network {network!r}", fix="choose one of: a, b, c, d")
        flat = stored[network]
    row = header[network]
    described = Setting.from_json(row["setting"])
    return TrainedNetworks(described, tuple(row["seeds"]), Parameters.from_flat(described.architecture, flat))


def store_weights(trainings: dict[str, Training], path: Path) -> None:
    """Write the finished trainings of a setting, by network, to one file."""
    header = {
        network: {"setting": t.setting.to_json(), "seeds": list(t.seeds), "epoch": t.epoch}
        for network, t in trainings.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            **{network: t.parameters.flat for network, t in trainings.items()},
        )
