"""Pairs of images with the same features: found where the pixels outnumber what moves, refused where they do not."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity.witnesses import pixel_pair as tested
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import (
    NoPixelPair,
    PixelPair,
    check_pair,
    pixel_pair,
    save,
)
from resnet_diffeo_probe.units import Discovery, discover

F64 = torch.float64
OWN = "the network's own module"


class Block(nn.Module):
    """A basic block with in-place operations; a stride or other channels make its shortcut a projection."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip: nn.Module = nn.Conv2d(channels, out, 1, stride) if stride > 1 else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.relu(self.conv1(x)))
        out += self.skip(x)
        return self.relu(out)


class Net(nn.Module):
    """Three channels of 8 × 8 pixels; a wide unit, one of stride 2, one after it."""

    def __init__(self, width: int = 16, narrow: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.wide = Block(width, width)
        self.down = Block(width, narrow, 2)
        self.last = Block(narrow, narrow)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.down(self.wide(torch.relu(self.stem(x))))).mean((2, 3))


def image(seed: int = 0, *shape: int) -> Tensor:
    return torch.randn(1, *(shape or (3, 8, 8)), dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().double().eval()


@pytest.fixture(scope="module")
def discovery(net: nn.Module) -> Discovery:
    return discover(net, image())


@pytest.fixture(scope="module")
def pair(net: nn.Module, discovery: Discovery) -> PixelPair:
    found = pixel_pair(discovery, image(), module=net, name="an image")
    assert isinstance(found, PixelPair)
    return found


def features(net: Any, x: Tensor, unit: str) -> Tensor:
    """The oracle: the modules one after the other, written by hand."""
    with torch.no_grad():
        x = net.wide(torch.relu(net.stem(x)))
        return x if unit == "wide" else net.down(x) if unit == "down" else net.last(net.down(x))


def test_the_first_unit_that_loses_pixels_has_a_pair(net: Any, pair: PixelPair) -> None:
    assert pair.unit == "down"
    assert pair.is_proof
    assert pair.checked_by == ("the network's graph up to the unit", OWN)
    assert torch.equal(pair.x1, image())
    y1, y2 = features(net, pair.x1, "down"), features(net, pair.x2, "down")
    assert float((y1 - y2).norm()) <= 1e-9 * float((pair.x1 - pair.x2).norm())
    assert pair.distance == pytest.approx(float((pair.x1 - pair.x2).norm()))
    assert pair.relative_distance == pytest.approx(pair.distance / float(image().norm()))
    assert pair.relative_distance > 1e-4
    # what comes before tells the two images apart, what comes after does not
    assert (
        float((features(net, pair.x1, "wide") - features(net, pair.x2, "wide")).norm()) > 1e-3 * pair.distance
    )
    assert torch.allclose(net(pair.x1), net(pair.x2), rtol=0, atol=1e-9 * pair.distance)


def test_the_rank_is_that_of_the_dense_jacobian(net: Any, discovery: Discovery, pair: PixelPair) -> None:
    dense = torch.autograd.functional.jacobian(
        lambda x: net.down(net.wide(torch.relu(net.stem(x)))).flatten(), image()
    ).reshape(-1, pair.pixels)
    assert pair.pixels == 192
    assert pair.rank == int(torch.linalg.matrix_rank(dense))
    assert pair.rank < pair.pixels


def test_a_named_unit_is_taken_and_an_unknown_one_refused(net: nn.Module, discovery: Discovery) -> None:
    found = pixel_pair(discovery, image(), unit="last", module=net)
    assert isinstance(found, PixelPair)
    assert found.unit == "last"
    assert found.is_proof
    assert found.checked_by == ("the network's graph up to the unit", OWN)
    with pytest.raises(ValueError, match="no unit nowhere"):
        pixel_pair(discovery, image(), unit="nowhere")


def test_where_as_many_coordinates_move_as_there_are_pixels_the_reason_says_so(discovery: Discovery) -> None:
    found = pixel_pair(discovery, image(), unit="wide")
    assert isinstance(found, NoPixelPair)
    assert "of the output of wide move with the image, not fewer than its 192 pixels" in found.reason


class Injective(nn.Module):
    """x -> relu(z + tanh z) for z = (x, −x): one half gives max(x, 0), the other max(−x, 0). Nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(2, 4, 1, bias=False)
        self.inner = nn.Conv2d(4, 4, 1, bias=False)
        with torch.no_grad():
            self.both.weight.copy_(torch.cat([torch.eye(2), -torch.eye(2)])[..., None, None])
            self.inner.weight.copy_(torch.eye(4)[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        z = self.both(x)
        return torch.relu(z + torch.tanh(self.inner(z)))


def test_an_injective_network_gives_a_reason_and_no_pair() -> None:
    x = image(0, 2, 3, 3)
    discovery = discover(Injective().double().eval(), x)
    assert len(discovery.units) == 1
    found = pixel_pair(discovery, x)
    assert isinstance(found, NoPixelPair)
    assert "not fewer than its 18 pixels" in found.reason


def test_a_network_without_units_says_so() -> None:
    found = pixel_pair(discover(nn.Conv2d(3, 3, 1).double().eval(), image()), image())
    assert found == NoPixelPair("there is no residual unit")


def test_where_everything_is_clipped_any_image_near_by_does() -> None:
    torch.manual_seed(0)
    dead = Net().double().eval()
    with torch.no_grad():
        dead.down.conv2.bias.fill_(-1e3)  # type: ignore[union-attr]
    found = pixel_pair(discover(dead, image()), image())
    assert isinstance(found, PixelPair)
    assert found.is_proof
    assert (found.unit, found.rank, found.gap) == ("down", 0, 0.0)


def test_a_jacobian_that_would_not_fit_is_not_computed(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "_MOST_ENTRIES", 100)
    found = pixel_pair(discovery, image())
    assert isinstance(found, NoPixelPair)
    assert "would take" in found.reason


def test_a_kernel_that_leads_nowhere_is_named(discovery: Discovery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "_MARGIN", 0.0)  # no gap is small enough
    found = pixel_pair(discovery, image())
    assert isinstance(found, NoPixelPair)
    assert "no step along its kernel kept the features" in found.reason


def test_two_runs_with_one_seed_agree_and_another_seed_does_not(
    discovery: Discovery, pair: PixelPair
) -> None:
    again, other = (pixel_pair(discovery, image(), seed=seed) for seed in (0, 1))
    assert isinstance(again, PixelPair)
    assert isinstance(other, PixelPair)
    assert torch.equal(again.x2, pair.x2)
    assert not torch.equal(other.x2, pair.x2)
    assert other.is_proof


def test_wrong_pairs_are_no_proofs(
    net: nn.Module, discovery: Discovery, pair: PixelPair, tmp_path: Path
) -> None:
    other = check_pair(discovery, pair.x1, pair.x1 + 1e-3 * image(5), "down", net)
    same = check_pair(discovery, pair.x1, pair.x1.clone(), "down", net)
    near = check_pair(discovery, pair.x1, pair.x1 + 1e-6 * (pair.x2 - pair.x1), "down", net)
    earlier = check_pair(discovery, pair.x1, pair.x2, "wide", net)
    apart = replace(pair, gap=1.01e-9 * pair.distance)
    close = replace(pair, gap=0.0, distance=0.99e-6 * float(pair.x1.norm()))
    for wrong in (other, same, near, earlier, apart, close, replace(pair, checked_by=())):
        assert not wrong.is_proof
        with pytest.raises(ValueError, match="no proof"):
            save(wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_module_that_disagrees_about_the_pair_spoils_the_proof(
    net: Any, discovery: Discovery, pair: PixelPair
) -> None:
    changed = copy.deepcopy(net)
    with torch.no_grad():
        changed.stem.weight += 1e-5 * torch.randn(changed.stem.weight.shape, dtype=F64)
    found = check_pair(discovery, pair.x1, pair.x2, "down", changed)
    assert OWN in found.checked_by
    assert found.gap > pair.gap


def test_a_module_that_is_no_check_is_none(net: Any, discovery: Discovery, pair: PixelPair) -> None:
    training = copy.deepcopy(net).train()
    single = copy.deepcopy(net).float()
    another = nn.Sequential(nn.Identity())
    for module in (training, single, another):
        found = check_pair(discovery, pair.x1, pair.x2, "down", module)
        assert found.checked_by == ("the network's graph up to the unit",)


def test_a_module_with_a_part_in_training_is_not_run(discovery: Discovery, pair: PixelPair) -> None:
    module = nn.Sequential()
    module.add_module("down", nn.BatchNorm2d(3))
    module.double().eval().get_submodule("down").train()
    before = copy.deepcopy(module.state_dict())
    found = check_pair(discovery, pair.x1, pair.x2, "down", module)
    assert found.checked_by == ("the network's graph up to the unit",)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_the_users_module_is_left_as_it_was(net: nn.Module, discovery: Discovery) -> None:
    before = copy.deepcopy(net.state_dict())
    x = image()
    pixel_pair(discovery, x, module=net)
    assert torch.equal(x, image())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    assert not net.training
    assert all(p.requires_grad for p in discovery.graph.parameters())


def test_a_float32_network_is_copied_by_its_discovery() -> None:
    torch.manual_seed(0)
    net = Net().eval()
    found = pixel_pair(discover(net, image().float()).to(dtype=F64), image())
    assert isinstance(found, PixelPair)
    assert found.is_proof
    assert next(net.parameters()).dtype == torch.float32


def test_what_is_no_image_in_float64_is_refused(discovery: Discovery, pair: PixelPair) -> None:
    for x in (image().float(), image()[0, 0, 0], image().repeat(2, 1, 1, 1), image() * float("nan")):
        with pytest.raises(ValueError, match="float64"):
            pixel_pair(discovery, x)
    with pytest.raises(ValueError, match="float64"):
        check_pair(discovery, pair.x1.float(), pair.x2.float(), "down")


def test_a_black_image_has_a_pair_too(discovery: Discovery) -> None:
    found = pixel_pair(discovery, torch.zeros_like(image()))
    assert isinstance(found, PixelPair)
    assert found.is_proof
    assert found.relative_distance == 0


def test_the_saved_pair_and_its_json_are_plain(pair: PixelPair, tmp_path: Path) -> None:
    path = save(pair, tmp_path / "witnesses")
    assert path.name == "down.pixels.npz" == pair.to_json()["file"]
    with np.load(path, allow_pickle=False) as stored:
        assert sorted(stored) == ["domain", "map", "unit", "x1", "x2"]
        assert np.array_equal(stored["x2"], pair.x2.numpy())
        assert (str(stored["map"]), str(stored["unit"])) == ("pixels", "down")
    written = json.loads(json.dumps(pair.to_json()))
    assert written["input"] == "an image"
    assert written["is_proof"] is True
    assert save(replace(pair, unit="../up"), tmp_path).parent == tmp_path


class FixedBatch(Net):
    """A network that was written for two images at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(2, 3, 8, 8))


def test_a_network_of_one_batch_size_says_so() -> None:
    fixed = FixedBatch().double().eval()
    discovery = discover(fixed, image().repeat(2, 1, 1, 1))
    assert not discovery.batch_is_free
    assert pixel_pair(discovery, image()) == NoPixelPair("the network takes one batch size only")
