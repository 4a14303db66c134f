"""The shape of a flow network: how many steps, shared or not, and the layers of its velocity field."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.activations import activation_named

__all__ = ["NETWORKS", "NamedNetwork", "PlaneNetwork", "network_named"]

PLANE = 2  # the dimension of the spirals


@dataclass(frozen=True, slots=True)
class PlaneNetwork:
    """A residual network on the plane, x <- x + F(x), read as Euler steps of a velocity field (eq. 1, 8).

    Attributes:
        steps: residual units.
        shared: one field for all units (a stationary velocity field) or one each (a time-varying one).
        widths: basis functions of each hidden layer of the field; (10,) is the paper's.
        activation: the basis functions' non-linearity.
        bias: whether the hidden layers have biases; the paper leaves them out "for simplifying notations".
    """

    steps: int = 20
    shared: bool = True
    widths: tuple[int, ...] = (10,)
    activation: str = "tanh"
    bias: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigurationError(f"{self.steps} steps", why="a flow needs at least one", fix="steps >= 1")
        if not self.widths or min(self.widths) < 1:
            raise ConfigurationError(
                f"hidden widths {self.widths}",
                why="each hidden layer needs a basis function",
                fix="e.g. (10,)",
            )
        activation_named(self.activation)

    @property
    def fields(self) -> int:
        """Number of different fields: 1 when shared, else one a step."""
        return 1 if self.shared else self.steps

    def kernel_shapes(self) -> tuple[tuple[int, int], ...]:
        """Return (rows, columns) of each layer of a field; a bias is the last column of a hidden layer."""
        sizes = (PLANE, *self.widths)
        hidden = tuple((after, before + int(self.bias)) for before, after in pairwise(sizes))
        return (*hidden, (PLANE, sizes[-1]))


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """One of the four networks of section 4.1.

    Attributes:
        letter: a to d, as in the paper.
        title: the paper's name.
        shared: whether the units share their weights.
        penalty: where the inverse-consistency penalty (eq. 10) is taken: none, data or domain.
    """

    letter: str
    title: str
    shared: bool
    penalty: str


NETWORKS: dict[str, NamedNetwork] = {
    "a": NamedNetwork("a", "ResNet without shared weights", False, "none"),
    "b": NamedNetwork("b", "ResNet with shared weights", True, "none"),
    "c": NamedNetwork("c", "Data-driven symmetric ResNet with shared weights", True, "data"),
    "d": NamedNetwork("d", "Domain-driven symmetric ResNet with shared weights", True, "domain"),
}


def network_named(letter: str) -> NamedNetwork:
    """Return one of the four networks.

    Raises:
        ConfigurationError: not one of a, b, c, d.
    """
    if letter not in NETWORKS:
        raise ConfigurationError(f"unknown network {letter!r}", fix="choose one of: a, b, c, d")
    return NETWORKS[letter]
