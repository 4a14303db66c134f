"""Networks whose attribution is known, and small ones of every kind that people bring."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_diffeo_probe.attribution import TappedNetwork
from resnet_diffeo_probe.units import discover


class LinearUnit(nn.Module):
    """x + (A x + a), a residual unit without anything bent."""

    def __init__(self, features):
        super().__init__()
        self.branch = nn.Linear(features, features)

    def forward(self, x):
        return x + self.branch(x)


class Block(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))) with one in-place ReLU used twice, as torchvision has it."""

    def __init__(self, channels, activation=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bend = activation or nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.conv2(self.bend(self.conv1(x)))
        out += x
        return self.bend(out)


class Smooth(nn.Module):
    """x + conv(tanh(conv(x))), with a J that changes with x everywhere."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(torch.tanh(self.conv1(x)))


class Classifier(nn.Module):
    """Stem, units, global pooling, a head."""

    def __init__(self, *units, channels=4, classes=3, wrap=None):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.units = nn.Sequential(*units)
        self.head = nn.Linear(channels, classes)
        self.wrap = wrap

    def forward(self, x):
        logits = self.head(self.units(F.relu(self.stem(x))).mean((2, 3)))
        return logits if self.wrap is None else self.wrap(logits)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def linear():
    """Two linear units and a head on vectors, in float64."""
    return nn.Sequential(LinearUnit(5), LinearUnit(5), nn.Linear(5, 3)).double().eval().requires_grad_(False)


@pytest.fixture
def classifier():
    """Return a function that makes a classifier of so many blocks."""

    def make(units=2, wrap=None, classes=3):
        return Classifier(*(Block(4) for _ in range(units)), wrap=wrap, classes=classes).double().eval()

    return make


@pytest.fixture
def smooth():
    """A classifier of two smooth units in float64."""
    return Classifier(Smooth(2), Smooth(2), channels=2).double().eval()


@pytest.fixture
def images():
    """Two images, (2, 3, 6, 5)."""
    return torch.randn(2, 3, 6, 5, dtype=torch.float64)


@pytest.fixture
def tapped():
    """Return a function that finds a module's units and taps them."""

    def make(module, x):
        return TappedNetwork(discover(module, x[:1]))

    return make
