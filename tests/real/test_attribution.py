"""Attribution on real weights: ResNet-20 and CIFAR-10 images, split at every unit within the reported error."""

from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.attribution import (
    TappedNetwork,
    ablations,
    agreement,
    clipped_energy_map,
    conductance,
)
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEIGHTS = SHARED / "data" / "weights" / "resnet20-12fca82f.th"
IMAGES = SHARED / "data" / "cifar10"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and IMAGES.is_dir()),
    reason="the real weights and images are not beside this checkout (../shared)",
)


@pytest.fixture(scope="module")
def images():
    preprocessing = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32)
    return read_inputs(IMAGES, count=3, preprocessing=preprocessing).part(0, 3)


@pytest.fixture(scope="module")
def model():
    return load(WEIGHTS).module


@pytest.fixture(scope="module")
def network(model, images):
    return TappedNetwork(discover(model, images[:1]))


@pytest.fixture(scope="module")
def paths(network, images):
    with torch.no_grad():
        targets = network(images).argmax(1).tolist()
    baseline = torch.zeros_like(images[:1])
    return [conductance(network, images[i : i + 1], baseline, target) for i, target in enumerate(targets)]


def test_the_taps_change_no_logit(network, model, images):
    with torch.no_grad():
        assert torch.equal(network(images), model(images))


def test_branch_and_shortcut_sum_to_the_change_of_the_logit(network, model, images, paths):
    with torch.no_grad():
        logits, start = model(images), model(torch.zeros_like(images[:1]))[0]
    for found, own in zip(paths, logits, strict=True):
        assert len(found.units) == 9
        change = float(own[found.target] - start[found.target])
        assert found.difference == pytest.approx(change, rel=1e-5)
        for unit in found.units:
            assert unit.total - unit.completeness_error == pytest.approx(change, rel=1e-4)
            assert abs(unit.completeness_error) < 0.05 * abs(change)
            assert found.share(unit, limit=0.05) == pytest.approx(unit.branch / change, rel=1e-4)


def test_conductance_hardly_changes_with_twice_the_steps(network, images, paths):
    found = paths[0]
    finer = conductance(
        network,
        images[:1],
        torch.zeros_like(images[:1]),
        found.target,
        steps=2 * found.steps,
        most_steps=2 * found.steps,
    )
    for coarse, fine in zip(found.units, finer.units, strict=True):
        assert coarse.branch == pytest.approx(fine.branch, abs=0.1 * abs(found.difference))


def test_ablation_is_the_network_without_the_branch(network, model, images, paths):
    lost = list(ablations(network, images))
    # the last unit: what it adds is removed from what enters the head
    unit = network.units[-1]
    kept = {}
    handle = model.get_submodule(unit.name).register_forward_hook(
        lambda _m, x, _y: kept.update(x=x[0].clone())
    )
    with torch.no_grad():
        before = model(images)
        handle.remove()
        replaced = model.get_submodule(unit.name).register_forward_hook(lambda _m, _x, _y: kept["x"].relu())
        after = model(images)
        replaced.remove()
    for place, found in enumerate(lost[-1]):
        target = paths[place].target
        assert found.logit_drop == pytest.approx(
            float(before[place, target] - after[place, target]), rel=1e-4
        )
        assert found.predicted == int(after[place].argmax())
    ranks = agreement(
        [[unit.branch for unit in path.units] for path in paths],
        [[of_unit[place].logit_drop for of_unit in lost] for place in range(len(images))],
    )
    assert all(-1 <= rank <= 1 for rank in ranks.correlations)


def test_the_clipped_energy_of_the_last_unit_is_split_among_the_pixels(network, images):
    found = clipped_energy_map(network, network.units[-1], images[:1], torch.zeros_like(images[:1]))
    change = found.value - found.baseline_value
    assert float(found.values.double().sum()) == pytest.approx(change + found.completeness_error, rel=1e-4)
    assert abs(found.completeness_error) < 0.1 * float(found.values.abs().sum())
