"""Everything a training of the spiral networks depends on, with the two named settings of this project."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork, network_named
from resnet_diffeo_probe.flows.fields.spirals import Spirals

__all__ = ["SETTINGS", "Setting", "setting_named"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A training of one of the four networks (section 4.1); what the paper leaves open is named as ours.

    Attributes:
        network: a, b, c or d.
        architecture: steps and field; whether it is shared follows from the network.
        spirals: the data's shape (ours: the paper does not give its generator).
        points: training points (ours).
        minibatch: points a step of the optimiser (paper: 300).
        epochs: passes over the points (paper: 1000).
        rate: Adam's learning rate (paper: 0.001).
        betas: Adam's decay rates (paper: 0.9, 0.999).
        decay: weight of the sum of squared kernel entries in the loss (paper: 1e-4; "on kernels" is ours).
        penalty_weight: lambda of eq. 10 (ours); it has the unit of the data squared to the power -1.
        domain_points: fresh uniform points of the square a step, for network d (ours).
        gain: factor on the field's Glorot uniform initial kernels (paper: 1).
        gradient_prior: weight of the prior on the velocity's gradient (section 3.3); 0 leaves it out.
        coarse_to_fine: depths to pass through before `architecture.steps` (section 5.2), each for an equal
            share of the epochs; empty for plain training.
    """

    network: str = "a"
    architecture: PlaneNetwork = field(default_factory=PlaneNetwork)
    spirals: Spirals = field(default_factory=Spirals)
    points: int = 6000
    minibatch: int = 300
    epochs: int = 1000
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 1e-4
    penalty_weight: float = 10.0
    domain_points: int = 300
    gain: float = 1.0
    gradient_prior: float = 0.0
    coarse_to_fine: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shared = network_named(self.network).shared
        if self.architecture.shared != shared:
            object.__setattr__(self, "architecture", dataclasses.replace(self.architecture, shared=shared))
        for name in ("points", "minibatch", "epochs", "rate", "domain_points", "gain"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigurationError(
                    f"{name.replace('_', ' ')} is {value}",
                    why="it must be positive",
                    fix=f"give {name} above 0",
                )
        for name in ("decay", "penalty_weight", "gradient_prior"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}", why="it cannot be negative")
        if self.minibatch > self.points:
            raise ConfigurationError(
                f"a minibatch of {self.minibatch} from {self.points} points",
                fix=f"give a minibatch of at most {self.points}",
            )
        depths = (*self.coarse_to_fine, self.architecture.steps)
        for coarse, fine in pairwise(depths):
            if fine != 2 * coarse:
                raise ConfigurationError(
                    f"coarse-to-fine depths {depths}",
                    why="every depth splits each step of the one before in two",
                    fix="e.g. depths 5 and 10 before 20 steps",
                )

    @property
    def penalty(self) -> str:
        """Where the inverse-consistency penalty is taken: none, data or domain."""
        return network_named(self.network).penalty

    def to_json(self) -> dict[str, Any]:
        """Return the setting as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Setting:
        """Read what `to_json` wrote."""
        row = dict(row)
        architecture = dict(row.pop("architecture"))
        architecture["widths"] = tuple(architecture["widths"])
        for key in ("betas", "coarse_to_fine"):
            row[key] = tuple(row[key])
        return cls(architecture=PlaneNetwork(**architecture), spirals=Spirals(**row.pop("spirals")), **row)


SETTINGS: dict[str, dict[str, Any]] = {
    # what the paper says, and the nearest choices where it says nothing
    "paper": {},
    # the same with a smaller start, which keeps the penalised networks from collapsing early on
    "reliable": {"gain": 0.3},
}


def setting_named(name: str, network: str, **changes: Any) -> Setting:
    """Return a named setting for one of the four networks.

    Args:
        name: "paper" or "reliable".
        network: a, b, c or d.
        changes: attributes of `Setting` to set otherwise.

    Raises:
        ConfigurationError: an unknown name.
    """
    if name not in SETTINGS:
        raise ConfigurationError(f"unknown setting {name!r}", fix=f"choose one of: {', '.join(SETTINGS)}")
    return Setting(network=network, **{**SETTINGS[name], **changes})
