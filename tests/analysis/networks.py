"""Small hand-written networks for the analysis' tests: every kind of unit in a few hundred coordinates."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))), the basic block of a ResNet without its norms."""

    def __init__(self, channels, scale=1.0):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight *= scale

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Wider(nn.Module):
    """A block that doubles the channels."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.conv2(F.relu(self.conv1(x))))


class Sorted(nn.Module):
    """A block whose branch sorts, which is not taken apart: out of reach above some thousand coordinates."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(torch.sort(self.conv1(x), dim=-1)[0])))


class Net(nn.Module):
    """Stem and named units; global pooling and a head behind them."""

    def __init__(self, *units, channels=2, names=None, width=None):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.units = nn.ModuleDict(dict(zip(names or map(str, range(len(units))), units, strict=True)))
        self.head = nn.Linear(width or channels, 2)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for unit in self.units.values():
            x = unit(x)
        return self.head(x.mean((2, 3)))


def seeded(build, seed=0):
    """Return a network with the weights of a seed; the global generator goes on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def images(n, *, height=6, width=5, seed=1):
    """Return (n, 3, height, width) noise, not square unless asked for."""
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed))
