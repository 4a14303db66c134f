"""Inputs are read in parts: the same numbers as all at once, in memory that does not grow with their number."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs

HOSTILE = Path(__file__).parents[1] / "hostile"  # `peak_memory` lies there
CIFAR = Preprocessing.from_preset("cifar10")
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 6, 5), dtype=np.uint8)


@pytest.fixture
def sources(tmp_path):
    """The same seven images in every form that is read."""
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "images" / f"{i}.png")
    stored = torch.from_numpy(PIXELS)
    ready = CIFAR.normalize(stored.float() / 255)
    np.save(tmp_path / "a.npy", PIXELS)
    np.save(tmp_path / "b.npy", np.asfortranarray(ready.numpy().astype(">f4")))
    torch.save(stored, tmp_path / "a.pt")
    save_file({"x": ready}, tmp_path / "b.safetensors")
    names = ["images", "a.npy", "b.npy", "a.pt", "b.safetensors"]
    return {name: tmp_path / name for name in names}, ready


@pytest.mark.parametrize("name", ["images", "a.npy", "b.npy", "a.pt", "b.safetensors"])
@pytest.mark.parametrize("count", [None, 4])
def test_parts_are_those_of_the_whole(sources, name, count):
    paths, ready = sources
    batch = read_inputs(paths[name], preprocessing=CIFAR, count=count)
    expected = ready if count is None else ready[[0, 1, 3, 5]]
    assert (len(batch), batch.shape) == (len(expected), (3, 6, 5))
    assert torch.equal(batch.tensor, expected)
    for start, stop in [(0, 1), (1, 4), (3, len(batch)), (2, 2)]:
        part = batch.part(start, stop)
        assert part.dtype == torch.float32
        assert torch.equal(part, expected[start:stop])
    elsewhere = pickle.loads(pickle.dumps(batch))  # noqa: S301 - as it goes to a worker
    assert torch.equal(elsewhere.part(1, 3), expected[1:3])
    with pytest.raises(IndexError):
        batch.part(0, len(batch) + 1)


def test_noise_does_not_depend_on_the_order_of_parts():
    batch = read_inputs("synthetic", preprocessing=CIFAR, shape=(3, 4, 5), count=50, seed=3)
    generator = torch.Generator().manual_seed(3)
    expected = torch.stack([torch.randn(3, 4, 5, generator=generator) for _ in range(50)])
    for start, stop in [(40, 50), (0, 3), (33, 34), (7, 45), (48, 50)]:
        assert torch.equal(batch.part(start, stop), expected[start:stop])
    assert torch.equal(pickle.loads(pickle.dumps(batch)).tensor, expected)  # noqa: S301 - as it goes to a worker


def changed(batch, start: int, stop: int) -> str:
    with pytest.raises(InputsError) as caught:
        batch.part(start, stop)
    assert caught.value.code == "inputs-changed"
    assert caught.value.why and caught.value.fix
    return caught.value.what


@pytest.mark.parametrize("how", ["other pixels", "cut", "vanished", "a pipe", "a folder"])
def test_image_that_changed_is_named(sources, how):
    folder = sources[0]["images"]
    batch = read_inputs(folder, preprocessing=CIFAR)
    path = folder / "3.png"
    content = path.read_bytes()
    path.unlink()
    if how == "other pixels":
        Image.fromarray(255 - PIXELS[3].transpose(1, 2, 0)).save(path)
    elif how == "cut":
        path.write_bytes(content[:60])
    elif how == "a pipe":
        os.mkfifo(path)
    elif how == "a folder":
        path.mkdir()
    assert "3.png" in changed(batch, 2, 5)
    assert torch.equal(batch.part(4, 7), sources[1][4:7])
    if not path.is_dir():
        path.unlink(missing_ok=True)
        path.write_bytes(content)  # the same file again: only its bytes count
        assert torch.equal(batch.part(2, 5), sources[1][2:5])


@pytest.mark.parametrize("how", ["cut", "other numbers", "vanished"])
def test_array_that_changed_is_named(sources, how):
    path = sources[0]["b.npy"]
    batch = read_inputs(path, preprocessing=CIFAR)
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[:200])
    elif how == "other numbers":
        path.write_bytes(content[:-1] + b"\x7f")
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    assert "b.npy" in changed(batch, 0, 1)


def test_unusable_images_are_known_up_front(sources):
    folder = sources[0]["images"]
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:70])
    batch = read_inputs(folder, preprocessing=CIFAR)
    assert [name for name, _ in batch.skipped] == ["2.png"]
    assert torch.equal(batch.tensor, sources[1][[0, 1, 3, 4, 5, 6]])


def test_listing_tells_how_far_it_is(sources):
    told = []
    read_inputs(
        sources[0]["images"],
        preprocessing=CIFAR,
        count=4,
        listed=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


_GROWTH = """
import sys
from pathlib import Path
from peak_memory import peak_kilobytes
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs

def peak(source, count):
    batch = read_inputs(source, preprocessing=Preprocessing.from_preset("cifar10"), shape=(3, 224, 224), count=count)
    assert len(batch) == count
    for start in range(0, count, 4):
        assert batch.part(start, start + 4).shape == (4, 3, 224, 224)
    return peak_kilobytes()

for source in sys.argv[1:]:
    print(-peak(source, 8) + peak(source, 200))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_inputs(tmp_path):
    """Two hundred inputs of 0.6 MB each are 120 MB; the peak of the process stays that of eight."""
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    (tmp_path / "many").mkdir()
    for i in range(200):
        (tmp_path / "many" / f"{i}.bmp").symlink_to(tmp_path / "a.bmp")
    stored = np.broadcast_to(pixels.transpose(2, 0, 1), (200, 3, 224, 224))
    np.save(tmp_path / "x.npy", stored)
    sources = ["synthetic", str(tmp_path / "many"), str(tmp_path / "x.npy")]
    run = subprocess.run(
        [sys.executable, "-c", _GROWTH, *sources],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(HOSTILE), os.environ.get("PYTHONPATH", "")))},
    )
    growth = dict(zip(sources, map(int, run.stdout.split()), strict=True))
    # the pages of a map that were read count as well until the system takes them back: 30 MB of uint8
    assert all(kilobytes < 60_000 for kilobytes in growth.values()), growth
