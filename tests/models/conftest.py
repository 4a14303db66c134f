"""Files to load: small networks, and files that try to run code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.models import CifarResNet


class WritesMarker:
    """Pickles to a call that creates a folder: whoever unpickles it with full powers has run code."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The folder that a hostile file would create."""
    return tmp_path / "code-was-run"


@pytest.fixture
def hostile(marker: Path) -> WritesMarker:
    return WritesMarker(marker)


@pytest.fixture
def small() -> CifarResNet:
    """CIFAR ResNet-8 with batch statistics that are no identity."""
    torch.manual_seed(1)
    net = CifarResNet((1, 1, 1), num_classes=7)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(std=0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
    return net.eval()
