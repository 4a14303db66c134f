"""Two images of 32 × 32 pixels that a ResNet-20 with real weights gives the same features."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair, pixel_pair, save
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WEIGHTS = DATA / "weights" / "resnet20-12fca82f.th"
IMAGE = DATA / "cifar10" / "airplane" / "0000.jpg"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.exists() and IMAGE.exists()), reason=f"the shared real weights and images are not in {DATA}"
)


@pytest.fixture(scope="module")
def network() -> Any:
    module = load(WEIGHTS).module
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    inputs = read_inputs(IMAGE, preprocessing=preprocessing)
    discovery = discover(module, inputs.tensor).to(dtype=torch.float64)
    return copy.deepcopy(module).double().eval(), discovery, inputs.tensor.double()


def test_the_first_unit_that_loses_pixels_is_layer3_0_and_has_a_pair(network: Any, tmp_path: Path) -> None:
    module, discovery, x = network
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = pixel_pair(discovery, x, module=module, name="airplane/0000.jpg")
    finally:
        torch.set_num_threads(threads)
    assert isinstance(found, PixelPair)
    assert found.unit == "layer3.0"
    assert (found.rank, found.pixels) == (1809, 3072)
    assert found.is_proof
    assert "the network's own module" in found.checked_by
    assert found.relative_distance > 1e-4
    with np.load(save(found, tmp_path)) as stored:
        x1, x2 = torch.from_numpy(stored["x1"]), torch.from_numpy(stored["x2"])
    seen: list[Any] = []
    handle = module.get_submodule("layer3.0").register_forward_hook(lambda _m, _i, y: seen.append(y.clone()))
    with torch.no_grad():
        logits = [module(point) for point in (x1, x2)]
    handle.remove()
    assert float((seen[0] - seen[1]).norm()) <= 1e-9 * float((x1 - x2).norm())
    assert float((logits[0] - logits[1]).norm()) <= 1e-9 * float((x1 - x2).norm())
    assert torch.equal(x1, x)


def test_the_last_unit_has_one_too_by_what_the_unit_before_it_lost(network: Any) -> None:
    module, discovery, x = network
    found = pixel_pair(discovery, x, unit="layer3.2", module=module)
    assert isinstance(found, PixelPair)
    assert (found.unit, found.rank) == ("layer3.2", 1689)
    assert found.is_proof
    assert "the network's own module" in found.checked_by


def test_before_layer3_there_is_none(network: Any) -> None:
    _, discovery, x = network
    for unit in ("layer1.0", "layer2.2"):
        found = pixel_pair(discovery, x, unit=unit)
        assert isinstance(found, NoPixelPair)
        assert f"{unit} move with the image, not fewer than its 3072 pixels" in found.reason
