"""Values are checked, presets are the published ones, normalisation is torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import functional as TF

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.inputs import Preprocessing
from resnet_diffeo_probe.inputs.preprocessing import PRESETS


def test_presets():
    assert set(PRESETS) == {"cifar10", "cifar100", "imagenet", "mnist", "none"}
    for name, preset in PRESETS.items():
        assert Preprocessing.from_preset(name) is preset
        assert preset.preset == name
    imagenet = Preprocessing.from_preset("imagenet")
    assert (imagenet.size, imagenet.resize) == (224, 256)
    assert Preprocessing.from_preset("none").mean == (0.0,)


def test_imagenet_is_torchvisions():
    from torchvision.transforms._presets import ImageClassification

    theirs = ImageClassification(crop_size=224)
    ours = Preprocessing.from_preset("imagenet")
    assert (list(ours.mean), list(ours.std)) == (theirs.mean, theirs.std)
    assert [ours.size, ours.resize] == [theirs.crop_size[0], theirs.resize_size[0]]


@pytest.mark.parametrize(
    ("name", "nearest"), [("cifar-10", "cifar10"), ("ImageNet", "imagenet"), ("zzz", "imagenet")]
)
def test_unknown_preset(name, nearest):
    with pytest.raises(ConfigurationError) as caught:
        Preprocessing.from_preset(name)
    assert caught.value.code == "unknown-preset"
    assert f"--preset {nearest}" in caught.value.fix


@pytest.mark.parametrize(
    "keywords",
    [
        {"mean": (0.5, 0.5), "std": (0.5,)},
        {"mean": (), "std": ()},
        {"mean": (0.5,), "std": (0.0,)},
        {"mean": (0.5,), "std": (-1.0,)},
        {"mean": (float("nan"),), "std": (1.0,)},
        {"mean": (0.5,), "std": (float("inf"),)},
        {"size": 0},
        {"size": -3},
        {"size": (32, 0)},
        {"size": 10**6},
        {"size": 224, "resize": 200},
        {"resize": 256},
    ],
)
def test_values_that_make_no_sense(keywords):
    with pytest.raises(ConfigurationError) as caught:
        Preprocessing(**keywords)
    assert caught.value.code == "preprocessing"
    assert caught.value.fix


def test_normalisation_is_torchvisions_to_the_bit():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8).float().div_(255)
    preset = Preprocessing.from_preset("cifar10")
    assert torch.equal(preset.normalize(pixels), TF.normalize(pixels, list(preset.mean), list(preset.std)))


def test_one_number_for_all_channels():
    assert torch.equal(
        Preprocessing((0.5,), (2.0,)).normalize(torch.ones(3, 2, 2)), torch.full((3, 2, 2), 0.25)
    )


def test_channels_that_do_not_fit():
    with pytest.raises(ConfigurationError, match="3 numbers, and the images 1 channel"):
        Preprocessing.from_preset("cifar10").normalize(torch.ones(1, 2, 2))
