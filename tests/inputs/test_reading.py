"""`read_inputs` from end to end."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError, InputsError
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs

NONE = Preprocessing.from_preset("none")


def save(path, *shape: int, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return pixels


def refused(
    source, kind: type[DiffeoProbeError] = InputsError, preprocessing=NONE, **keywords
) -> DiffeoProbeError:
    with pytest.raises(kind) as caught:
        read_inputs(source, preprocessing=preprocessing, **keywords)
    assert caught.value.what and caught.value.fix
    return caught.value


def test_folder_equals_torchvisions_pipeline(tmp_path):
    preset = Preprocessing.from_preset("imagenet")
    for i, shape in enumerate([(300, 280, 3), (224, 224, 3), (250, 400, 3)]):
        save(tmp_path / f"{i}.png", *shape, seed=i)
    inputs = read_inputs(tmp_path, preprocessing=preset, shape=(3, 224, 224))
    for row, name in zip(inputs.tensor, inputs.names, strict=True):
        image = Image.open(tmp_path / name)
        if image.size != (224, 224):
            image = TF.center_crop(TF.resize(image, 256), 224)
        assert torch.equal(row, TF.normalize(TF.to_tensor(image), list(preset.mean), list(preset.std)))
    assert inputs.kind == "images"
    assert inputs.labels is None
    assert inputs.source == str(tmp_path)
    assert inputs.preprocessing is preset


def test_class_folders(tmp_path):
    for name in ("b/1.png", "a/1.png", "b/0.png"):
        save(tmp_path / name, 4, 4)
    inputs = read_inputs(tmp_path, preprocessing=NONE)
    assert inputs.names == ("a/1.png", "b/0.png", "b/1.png")
    assert inputs.labels == ("a", "b", "b")
    assert inputs.classes == ("a", "b")


def test_classes_do_not_depend_on_the_count(tmp_path):
    for name in ("a/1.png", "b/1.png", "c/0.png"):
        save(tmp_path / name, 4, 4)
    inputs = read_inputs(tmp_path, preprocessing=NONE, count=1)
    assert inputs.labels == ("a",)
    assert inputs.classes == ("a", "b", "c")


def test_evenly_spaced(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.png", 2, 2)
    assert read_inputs(tmp_path, preprocessing=NONE, count=4).names == ("0.png", "2.png", "5.png", "7.png")
    assert len(read_inputs(tmp_path, preprocessing=NONE, count=99).names) == 10


def test_images_that_break_on_decoding_are_replaced(tmp_path):
    for i in range(6):
        save(tmp_path / f"{i}.png", 30, 30)
    for i in (0, 4):
        content = (tmp_path / f"{i}.png").read_bytes()
        (tmp_path / f"{i}.png").write_bytes(content[:200])
    (tmp_path / "notes.txt").write_text("not an image")
    inputs = read_inputs(tmp_path, preprocessing=NONE, count=3)
    assert len(inputs.names) == 3
    assert "0.png" not in inputs.names
    skipped = dict(inputs.skipped)
    assert skipped["notes.txt"] == "not an image"
    assert "damaged" in skipped["0.png"]
    assert list(skipped) == sorted(skipped)
    assert read_inputs(tmp_path, preprocessing=NONE).names == ("1.png", "2.png", "3.png", "5.png")


def test_single_image(tmp_path):
    pixels = save(tmp_path / "class" / "a.png", 5, 4)
    inputs = read_inputs(tmp_path / "class" / "a.png", preprocessing=NONE, shape=(1, 5, 4))
    assert inputs.names == ("a.png",)
    assert inputs.labels is None
    assert torch.equal(inputs.tensor[0, 0], torch.from_numpy(pixels).float() / 255)


def test_grey_among_colour(tmp_path):
    save(tmp_path / "a.png", 4, 4)
    save(tmp_path / "b.png", 4, 4, 3)
    inputs = read_inputs(tmp_path, preprocessing=Preprocessing.from_preset("cifar10"))
    assert inputs.tensor.shape == (2, 3, 4, 4)
    mixed = read_inputs(tmp_path, preprocessing=NONE)
    assert mixed.tensor.shape == (2, 3, 4, 4)
    assert torch.equal(mixed.tensor[0, 0], mixed.tensor[0, 2])
    assert any("1 of 2 images: grey" in note for note in inputs.notes)


def test_size_that_does_not_fit_the_model(tmp_path):
    save(tmp_path / "a.png", 32, 32, 3)
    save(tmp_path / "b.png", 32, 32, 3)
    error = refused(tmp_path, shape=(3, 224, 224))
    assert error.code == "inputs-size"
    assert "224×224" in error.what and "32×32 (2)" in error.what
    assert "--size 224" in error.fix and "--size 32" in error.fix
    assert read_inputs(tmp_path, preprocessing=Preprocessing(size=32), shape=(3, 224, 224)).tensor.shape[
        2:
    ] == (32, 32)


def test_different_sizes(tmp_path):
    save(tmp_path / "a.png", 30, 20)
    save(tmp_path / "b.png", 40, 50)
    error = refused(tmp_path)
    assert "30×20 (1)" in error.what and "40×50 (1)" in error.what
    assert read_inputs(tmp_path, preprocessing=Preprocessing(size=(10, 12))).tensor.shape == (2, 1, 10, 12)


def test_statistics_for_other_channels(tmp_path):
    save(tmp_path / "a.png", 4, 4)
    refused(tmp_path, ConfigurationError, Preprocessing.from_preset("cifar10"), shape=(1, 4, 4))


def test_model_with_channels_that_no_image_has(tmp_path):
    save(tmp_path / "a.png", 4, 4)
    assert refused(tmp_path, shape=(4, 4, 4)).code == "inputs-channels"


@pytest.mark.parametrize("count", [0, -1])
def test_count(tmp_path, count):
    assert refused(tmp_path, ConfigurationError, count=count).code == "inputs-count"


def test_nothing_readable(tmp_path):
    assert "empty" in refused(tmp_path).why
    (tmp_path / "a.txt").write_text("x")
    error = refused(tmp_path)
    assert error.code == "inputs-none"
    assert "a.txt: not an image" in error.why
    assert "a.txt" in refused(tmp_path / "a.txt").why


def test_missing(tmp_path):
    (tmp_path / "images").mkdir()
    error = refused(tmp_path / "image")
    assert error.code == "inputs-not-found"
    assert "images" in error.fix
    assert "no folder" in refused(tmp_path / "x" / "y").why


def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").code == "inputs-not-found"


def test_synthetic():
    one = read_inputs("synthetic", preprocessing=NONE, shape=(3, 4, 5), count=2, seed=3)
    more = read_inputs("synthetic", preprocessing=NONE, shape=(3, 4, 5), count=6, seed=3)
    other = read_inputs("synthetic", preprocessing=NONE, shape=(3, 4, 5), count=2, seed=4)
    assert one.tensor.shape == (2, 3, 4, 5)
    assert torch.equal(one.tensor, more.tensor[:2])
    assert not torch.equal(one.tensor, other.tensor)
    assert one.names == ("synthetic[0]", "synthetic[1]")
    assert (one.kind, one.source, one.seed) == ("synthetic", "synthetic", 3)
    assert len(read_inputs("synthetic", preprocessing=NONE, shape=(1, 2, 2)).names) == 8
    assert read_inputs("synthetic", preprocessing=Preprocessing(size=6), shape=(1, 2, 2)).tensor.shape[
        2:
    ] == (6, 6)
    assert refused("synthetic").code == "inputs-shape"


def test_synthetic_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        assert read_inputs("synthetic", preprocessing=NONE, shape=(1, 2, 2)).tensor.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_float32_whatever_the_default(tmp_path):
    save(tmp_path / "a.png", 4, 4)
    torch.set_default_dtype(torch.float64)
    try:
        assert read_inputs(tmp_path, preprocessing=NONE).tensor.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_tensor_that_is_preprocessed(tmp_path):
    x = torch.randn(4, 3, 5, 5)
    torch.save(x, tmp_path / "x.pt")
    inputs = read_inputs(tmp_path / "x.pt", preprocessing=Preprocessing.from_preset("cifar10"), count=2)
    assert torch.equal(inputs.tensor, x[[0, 2]])
    assert inputs.names == ("input[0]", "input[2]")
    assert inputs.kind == "tensor"
    assert inputs.preprocessing.preset == "none"
    assert any("not normalised" in note for note in inputs.notes)


def test_tensor_of_pixels(tmp_path):
    preset = Preprocessing.from_preset("cifar10")
    pixels = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    np.save(tmp_path / "x.npy", pixels.numpy())
    inputs = read_inputs(str(tmp_path / "x.npy"), preprocessing=preset, shape=(3, 5, 5))
    assert torch.equal(inputs.tensor, TF.normalize(pixels.float() / 255, list(preset.mean), list(preset.std)))
    assert inputs.preprocessing is preset


def test_tensor_of_another_shape(tmp_path):
    torch.save(torch.zeros(2, 5, 5, 3), tmp_path / "x.pt")
    error = refused(tmp_path / "x.pt", shape=(3, 5, 5))
    assert error.code == "inputs-shape"
    assert "permute" in error.fix
    torch.save(torch.zeros(2, 3, 6, 6), tmp_path / "y.pt")
    assert "--size 6" in refused(tmp_path / "y.pt", shape=(3, 5, 5)).fix
    again = read_inputs(tmp_path / "y.pt", preprocessing=Preprocessing(size=6), shape=(3, 5, 5))
    assert again.tensor.shape == (2, 3, 6, 6)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/a", "x" * 5000, "a\0b"])
def test_absurd_paths(name):
    assert refused(name).code == "inputs-not-found"
