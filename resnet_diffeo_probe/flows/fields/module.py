"""A trained spiral network as an ordinary torch module: what the rest of this package analyses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = ["SpiralNetwork", "spiral_module"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "softplus": nn.Softplus}


class _Unit(nn.Module):
    """One residual unit x + F(x)."""

    def __init__(self, branch: nn.Sequential):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class SpiralNetwork(nn.Module):
    """Points (batch, 2) -> logits (batch, 1) of class 1.

    Attributes:
        units: the residual units in order; a network with shared weights applies one module again and again.
        readout: the linear classifier.
    """

    def __init__(self, units: list[nn.Module], readout: nn.Linear):
        super().__init__()
        self.units = nn.ModuleList(units)
        self.readout = readout

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        for unit in self.units:
            x = unit(x)
        logits: Tensor = self.readout(x)
        return logits


def spiral_module(parameters: Parameters, dtype: torch.dtype = torch.float64) -> SpiralNetwork:
    """Build the module of one trained network.

    Args:
        parameters: one network (S = 1).
        dtype: of its weights.

    Raises:
        ConfigurationError: several networks.
    """
    architecture = parameters.architecture
    if parameters.seeds != 1:
        raise ConfigurationError(f"{parameters.seeds} networks for one module", fix="select one of them")
    fields: list[nn.Module] = []
    for index in range(architecture.fields):
        layers: list[nn.Module] = []
        for kernel in parameters.kernels[:-1]:
            weights = torch.tensor(kernel[0, index], dtype=dtype)
            columns = weights.shape[1] - int(architecture.bias)
            bias = weights[:, columns] if architecture.bias else None
            layers += [_linear(weights[:, :columns], bias), _ACTIVATIONS[architecture.activation]()]
        layers.append(_linear(torch.tensor(parameters.kernels[-1][0, index], dtype=dtype), None))
        fields.append(_Unit(nn.Sequential(*layers)))
    readout = torch.tensor(parameters.readout[0], dtype=dtype)
    units = [fields[step % architecture.fields] for step in range(architecture.steps)]
    return SpiralNetwork(units, _linear(readout[:, :PLANE], readout[:, PLANE])).eval()


def _linear(weights: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weights.shape[1], weights.shape[0], bias=bias is not None, dtype=weights.dtype)
    with torch.no_grad():
        layer.weight.copy_(weights)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
