"""Networks to take apart: batch norms randomised, so that no branch is trivially zero or the identity."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def randomized() -> Callable[[nn.Module], nn.Module]:
    """Return a function that fills batch norms and everything that is zero with random numbers."""

    def fill(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    if module.running_mean is not None:
                        module.running_mean.normal_(std=0.3)
                        module.running_var.uniform_(0.5, 1.5)
                    if module.affine:
                        module.weight.uniform_(0.5, 1.5)
                        module.bias.normal_(std=0.3)
            for parameter in model.parameters():
                if not parameter.any():  # biases, and gains of branches that start switched off
                    parameter.uniform_(-0.5, 0.5)
        return model

    return fill


class Written(nn.Module):
    """A module whose forward pass is a function `(module, x) -> y`, with named parts."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module):
        super().__init__()
        self._written = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._written(self, x)


@pytest.fixture
def written() -> type[Written]:
    """The class of modules written as one function."""
    return Written


@pytest.fixture
def branch() -> Callable[..., nn.Sequential]:
    """Return a function that makes a branch: convolution, activation, convolution."""

    def make(channels: int = 4, out: int | None = None, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, out or channels, 3, padding=1, stride=stride),
            nn.ReLU(),
            nn.Conv2d(out or channels, out or channels, 3, padding=1),
        )

    return make


@pytest.fixture
def x() -> Tensor:
    """A batch of two maps of four channels."""
    return torch.randn(2, 4, 6, 8)
