"""Real weights and real images: CIFAR-10 ResNets and 100 test images, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.inputs import Preprocessing, accuracy, read_inputs
from resnet_diffeo_probe.models import load

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared real data are not at {DATA}")
# the statistics that these weights were trained with
PREPROCESSING = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("file", "depth", "parameters"),
    [("resnet20-12fca82f.th", 20, 269722), ("resnet32-d509ac18.th", 32, 464154)],
)
@pytest.mark.parametrize("named", [False, True])
def test_weights_and_accuracy(file, depth, parameters, named):
    loaded = load(DATA / "weights" / file, arch=f"cifar_resnet{depth}" if named else None)
    assert loaded.sha256.startswith(Path(file).stem.partition("-")[2])
    assert loaded.architecture == f"cifar_resnet{depth} (option A)"
    assert loaded.architecture_assumed is not named
    assert loaded.format == "state dict nested in a checkpoint (key 'state_dict')"
    assert loaded.parameters == parameters
    inputs = read_inputs(DATA / "cifar10", preprocessing=PREPROCESSING, shape=loaded.input_shape)
    assert inputs.tensor.shape == (100, 3, 32, 32)
    assert inputs.skipped == ()
    with torch.no_grad():
        correct, total = accuracy(loaded.module(inputs.tensor), inputs, loaded.num_classes)
    # 91.78 and 92.78 % on all 10,000 test images by their own records; of 100 re-compressed as JPEG a few fewer
    assert total == 100
    assert 80 <= correct <= 95


def test_count_takes_evenly_spaced_images():
    every = read_inputs(DATA / "cifar10", preprocessing=PREPROCESSING)
    ten = read_inputs(DATA / "cifar10", preprocessing=PREPROCESSING, count=10)
    assert ten.names == every.names[::10]
    assert ten.labels == every.classes
    assert torch.equal(ten.tensor, every.tensor[::10])
