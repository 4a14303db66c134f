"""Networks as people bring them: outputs of every kind, and a model that is left as it was."""

import random

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from resnet_diffeo_probe.attribution import (
    NotAttributableError,
    TappedNetwork,
    ablations,
    clipped_energy_map,
    conductance,
)
from resnet_diffeo_probe.units import discover


def _attribute(model, x):
    network = TappedNetwork(discover(model, x[:1]))
    with torch.no_grad():
        target = int(network(x[:1]).argmax())
    found = conductance(network, x[:1], torch.zeros_like(x[:1]), target)
    return network, found, list(ablations(network, x))


def _assert_complete(found, limit=0.05):
    assert found.units
    for unit in found.units:
        assert abs(unit.completeness_error) < limit * abs(found.difference)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: {"logits": logits},
        lambda logits: (logits, logits.sum()),
        lambda logits: [logits],
    ],
)
def test_logits_are_found_in_containers(classifier, images, wrap):
    model = classifier(wrap=wrap)
    network, found, _ = _attribute(model, images)
    _assert_complete(found)
    model.wrap = None
    torch.testing.assert_close(network(images), model(images))


@pytest.mark.parametrize(
    ("wrap", "classes", "says"),
    [
        (lambda logits: {"features": logits}, 3, "no table of logits"),
        (lambda logits: logits[:, :, None], 3, "no table of logits"),
        (lambda logits: logits.argmax(1, keepdim=True).expand(-1, 3), 3, "no gradient"),
        (None, 1, "one output"),
    ],
)
def test_without_logits_there_is_a_reason(classifier, images, wrap, classes, says):
    network = TappedNetwork(discover(classifier(wrap=wrap, classes=classes), images[:1]))
    with pytest.raises(NotAttributableError, match=says):
        network(images)


def test_torchvision_with_its_shared_in_place_relu():
    model = torchvision.models.resnet18(num_classes=5).eval()
    network, found, dropped = _attribute(model, torch.randn(2, 3, 33, 32))
    assert len(network.units) == len(dropped) == 8
    _assert_complete(found)


def test_timm_pre_activation():
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnetv2_18", num_classes=4).eval()
    network, found, _ = _attribute(model, torch.randn(1, 3, 32, 32))
    assert {unit.activation for unit in network.units} == {None}
    _assert_complete(found)


def test_hugging_face_outputs():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type="basic", num_labels=3
    )
    model = transformers.ResNetForImageClassification(config).eval()
    network, found, _ = _attribute(model, torch.randn(1, 3, 32, 32))
    assert len(network.units) == 3
    _assert_complete(found)


def test_an_exported_program_of_a_fixed_batch_is_refused(classifier, images):
    exported = torch.export.export(classifier(), (images[:1],)).module()
    with pytest.raises(NotAttributableError, match="one size"):
        TappedNetwork(discover(exported, images[:1]))


def test_an_exported_program_with_a_free_batch(classifier, images):
    batch = torch.export.Dim("batch", min=1, max=1024)
    exported = torch.export.export(classifier(), (images,), dynamic_shapes=({0: batch},)).module()
    discovery = discover(exported, images)
    if not discovery.batch_is_free:
        pytest.skip("this torch's exported module fixes the batch when it is taped")
    _, found, _ = _attribute(exported, images)
    _assert_complete(found)


def test_the_model_is_left_as_it_was(classifier, images):
    model = classifier().train()
    model.units[0].eval()
    model.stem.weight.requires_grad_(False)
    model.head.register_forward_hook(lambda *_: None)
    given = images.clone()

    def state():
        return (
            {name: tensor.clone() for name, tensor in model.state_dict().items()},
            [module.training for module in model.modules()],
            [parameter.requires_grad for parameter in model.parameters()],
            [parameter.grad for parameter in model.parameters()],
            [len(module._forward_hooks) for module in model.modules()],
            [len(module._backward_hooks) for module in model.modules()],
            (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
            torch.is_grad_enabled(),
            images.requires_grad,
        )

    before = state()
    network, _, _ = _attribute(model, images)
    clipped_energy_map(network, network.units[0], images[:1], torch.zeros_like(images[:1]))
    after = state()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:] == after[1:]
    assert torch.equal(images, given)


def test_a_branch_is_back_after_its_ablation(classifier, images, tapped):
    network = tapped(classifier(), images)
    before = network(images)
    with pytest.raises(KeyError), network.without(network.units[0]):
        assert not torch.equal(network(images), before)
        raise KeyError
    assert torch.equal(network(images), before)


def test_a_unit_that_the_logits_do_not_use_carries_nothing(images):
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.a = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
            self.b = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.stem(x)
            used = x + self.a(x)
            aside = x + self.b(x)
            return {"logits": self.head(used.mean((2, 3))), "features": aside}

    network, found, dropped = _attribute(Aside().double().eval(), images)
    assert len(network.units) == 2
    (used,) = network.used
    for unit, carried, of_unit in zip(network.units, found.units, dropped, strict=True):
        assert (carried.branch == 0) == (unit is not used)
        assert (of_unit[0].logit_drop == 0) == (unit is not used)
