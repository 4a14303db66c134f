"""Every known architecture is found from names and shapes, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models import CifarResNet
from resnet_diffeo_probe.models.inference import infer

PATH = Path("model.pt")
RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


def torchvision_weights(name: str, **keywords):
    from torchvision import models

    with torch.device("meta"):
        return models.get_model(name, weights=None, **keywords).state_dict()


def refused(weights) -> LoadError:
    with pytest.raises(LoadError) as caught:
        infer(weights, PATH)
    assert caught.value.code == "architecture-not-recognised"
    assert "--arch" in caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.parametrize("classes", [1000, 3])
def test_torchvision(name, classes):
    weights = torchvision_weights(name, num_classes=classes)
    found = infer(weights, PATH)
    assert found.name == f"torchvision {name}"
    assert found.assumed
    assert found.num_classes == classes
    assert found.input_shape == (3, 224, 224)
    assert {n: t.shape for n, t in found.module.state_dict().items()} == {
        n: t.shape for n, t in weights.items()
    }


def test_torchvision_of_other_depths_and_channels():
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    with torch.device("meta"):
        bottleneck = ResNet(Bottleneck, [1, 2, 1, 1], num_classes=5)
        grey = ResNet(BasicBlock, [2, 2, 2, 2])
        grey.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    assert "[1, 2, 1, 1]" in infer(bottleneck.state_dict(), PATH).name
    found = infer(grey.state_dict(), PATH)
    assert found.name == "torchvision resnet18"
    assert found.input_shape == (1, 224, 224)


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110])
@pytest.mark.parametrize("option", ["A", "B"])
def test_cifar(depth, option):
    with torch.device("meta"):
        net = CifarResNet(((depth - 2) // 6,) * 3, shortcut=option)
    found = infer(net.state_dict(), PATH)
    assert found.name == f"cifar_resnet{depth} (option {option})"
    assert found.input_shape == (3, 32, 32)


@settings(max_examples=40, deadline=None)
@given(
    stages=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40)), min_size=1, max_size=4),
    option=st.sampled_from("AB"),
    head=st.sampled_from(["fc", "linear"]),
    shortcut=st.sampled_from(["shortcut", "downsample"]),
    channels=st.sampled_from([1, 3, 4]),
    classes=st.integers(1, 12),
)
def test_any_cifar_network_is_found_or_refused_never_mistaken(
    stages, option, head, shortcut, channels, classes
):
    depths = [depth for depth, _ in stages]
    widths = [width for _, width in stages]
    if option == "A":
        widths.sort()
    keywords = {"in_channels": channels, "num_classes": classes, "shortcut": option, "head": head}
    net = CifarResNet(depths, widths, shortcut_name=shortcut, **keywords).eval()
    try:
        found = infer(net.state_dict(), PATH)
    except LoadError as error:
        # a pooling after the stem cannot be excluded where the names are torchvision's
        assert len(depths) == 4
        assert "pooling" in error.why or "nearest" in error.why
        return
    module = found.module
    module.load_state_dict(net.state_dict(), assign=True)
    x = torch.randn(1, channels, 9, 8)
    with torch.no_grad():
        assert torch.equal(module.eval()(x), net(x))
    assert found.num_classes == classes


def test_four_stages_with_torchvision_names_are_ambiguous():
    with torch.device("meta"):
        net = CifarResNet(
            (2, 2, 2, 2), (64, 128, 256, 512), shortcut="B", shortcut_name="downsample", head="fc"
        )
    error = refused(net.state_dict())
    assert "pooling" in error.why
    assert "8 basic blocks in stages [2, 2, 2, 2]" in error.why


def test_preactivation_is_not_guessed():
    with torch.device("meta"):
        net = CifarResNet((1, 1, 1), preactivation=True)
    assert "pre-activation" in refused(net.state_dict()).why


def test_nearest_architecture_names_what_differs():
    weights = dict(torchvision_weights("resnet18"))
    weights["layer1.0.se.weight"] = torch.zeros(1)
    del weights["layer4.1.bn2.running_var"]
    why = refused(weights).why
    assert "torchvision resnet18 comes nearest" in why
    assert "layer1.0.se.weight" in why
    assert "layer4.1.bn2.running_var" in why


def test_networks_that_are_no_resnet():
    why = refused({"features.0.weight": torch.zeros(8, 3, 3, 3), "classifier.bias": torch.zeros(2)}).why
    assert "features.0.weight [8, 3, 3, 3]" in why


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.update({"layer1.0.conv2.weight": torch.zeros(64, 0, 3, 3)}),
        lambda w: w.update({"layer1.0.conv2.weight": torch.zeros(())}),
        lambda w: w.update({"conv1.weight": torch.zeros(64, 0, 7, 7)}),
        lambda w: w.update({"conv1.weight": torch.zeros(0, 3, 3, 3)}),
        lambda w: w.update({"fc.weight": torch.zeros(0, 0)}),
        lambda w: w.update({"fc.weight": torch.zeros(3)}),
        lambda w: w.update({"layer9.0.conv1.weight": torch.zeros(1)}),
        lambda w: w.update({"layer1.5.conv1.weight": torch.zeros(1)}),
        lambda w: w.pop("conv1.weight"),
        lambda w: w.pop("bn1.weight"),
    ],
)
def test_absurd_shapes_end_in_a_message(change):
    weights = dict(torchvision_weights("resnet18"))
    change(weights)
    refused(weights)
