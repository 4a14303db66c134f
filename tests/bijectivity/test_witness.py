"""What counts as a proof, the file it is saved in, and the lines of plain PyTorch that check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity.search.fold import find_fold
from resnet_diffeo_probe.bijectivity.search.piecewise import pair_at_fold
from resnet_diffeo_probe.bijectivity.witnesses.own_module import module_map, snippet
from resnet_diffeo_probe.bijectivity.witnesses.witness import check, file_name, save
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.units import discover


class Block(nn.Module):
    """A basic block with an in-place ReLU, as many networks have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.relu(self.conv1(x)))
        out += x
        return self.relu(out)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(torch.relu(self.stem(x))).mean((2, 3))


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    model = Net().double().eval()
    with torch.no_grad():
        for p in model.block.parameters():
            p.mul_(2.5)
    return model


@pytest.fixture(scope="module")
def proof(net: Net) -> tuple[Any, Tensor, Tensor]:
    (unit,) = discover(net, torch.randn(1, 1, 4, 4, dtype=torch.float64)).units
    jacobian = UnitJacobian(unit)
    generator = torch.Generator().manual_seed(1)
    seen: dict[int, Tensor] = {}
    for _ in range(200):
        x = 2 * torch.rand(1, 2, 4, 4, dtype=torch.float64, generator=generator)
        seen.setdefault(jacobian.at(x).factorize().sign, x)
    fold = find_fold(jacobian, seen[1], seen[-1], (1, -1))
    assert fold is not None
    return unit, *pair_at_fold(fold, room=fold.point)


def test_a_proof_is_checked_by_the_network_itself(net: Net, proof: tuple[Any, Tensor, Tensor]) -> None:
    unit, x1, x2 = proof
    for which in ("sum", "unit"):
        found = check(
            unit,
            which,
            x1,
            x2,
            "fold",
            module=net,
            about={"inputs": ["a", "b"]},
            jacobian=UnitJacobian(unit),
        )
        assert found.is_proof
        assert found.in_orthant
        assert found.checked_by == ("the unit cut out of the network", "the network's own module")
        assert found.to_json()["inputs"] == ["a", "b"]
        assert {p["statement"].split(",")[0] for p in found.to_json()["premises"]} >= {"norm of I − XJ"}
        assert all(p["bound"] < p.get("to_be_below", 1e300) for p in found.to_json()["premises"])
        assert found.to_json()["file"] == f"block.{which}.npz"


def test_the_network_itself_can_refute(proof: tuple[Any, Tensor, Tensor]) -> None:
    unit, x1, x2 = proof
    torch.manual_seed(5)
    other = Net().double().eval()  # other weights: for it the pair proves nothing
    assert not check(unit, "sum", x1, x2, "fold", module=other, jacobian=UnitJacobian(unit)).is_proof


@pytest.mark.parametrize(
    ("scale", "why"),
    [
        (0.0, "the same point twice"),
        (1e-9, "points closer than 1e-6"),
        (1.0, "two points with different images"),
    ],
)
def test_what_is_no_proof(proof: tuple[Any, Tensor, Tensor], tmp_path: Path, scale: float, why: str) -> None:
    unit, x1, _ = proof
    found = check(unit, "sum", x1, x1 + scale * torch.ones_like(x1), "made up", jacobian=UnitJacobian(unit))
    assert not found.is_proof, why
    with pytest.raises(ValueError, match="no proof"):
        save(found, tmp_path)
    assert not list(tmp_path.iterdir())


def test_equal_images_need_different_points_not_just_different_numbers(build_unit: Any) -> None:
    # x − 2 relu(x) = −|x| around 1: every pair x, 2 − x has one image, and only separated ones count
    unit = build_unit([(torch.sub, (1.0,)), (torch.relu, ()), (torch.mul, (-2.0,))], (3,))
    jacobian = UnitJacobian(unit)
    one = torch.ones(1, 3, dtype=torch.float64)

    def pair(apart: float) -> Any:
        return check(unit, "sum", one - apart, one + apart, "made up", jacobian=jacobian)

    assert pair(1e-5).is_proof
    assert not pair(1e-8).is_proof
    assert not pair(0.0).is_proof
    # a constant map has no regular Jacobian to enclose anything with: its pairs are numerical
    flat = build_unit([(torch.mul, (-1.0,))], (3,))
    found = check(flat, "sum", one, 2 * one, "made up", jacobian=UnitJacobian(flat))
    assert found.agrees
    assert not found.is_proof


def test_float32_is_refused(proof: tuple[Any, Tensor, Tensor]) -> None:
    unit, x1, x2 = proof
    with pytest.raises(ValueError, match="float64"):
        check(unit, "sum", x1.float(), x2.float(), "fold")


def test_the_saved_file_is_checked_by_the_snippet(
    net: Net, proof: tuple[Any, Tensor, Tensor], tmp_path: Path
) -> None:
    unit, x1, x2 = proof
    for which in ("sum", "unit"):
        path = save(check(unit, which, x1, x2, "fold", jacobian=UnitJacobian(unit)), tmp_path / "witnesses")
        with np.load(path, allow_pickle=False) as saved:
            assert set(saved.files) == {"x1", "x2", "unit", "map", "domain"}
            assert str(saved["unit"]) == "block"
            assert str(saved["map"]) == which
            assert "orthant" in str(saved["domain"])
            np.testing.assert_array_equal(saved["x1"], x1.numpy())
        code = snippet("block", which, str(path))
        exec(code, {"model": net})  # noqa: S102 - the lines a reader is given must run
        # and they refute a pair that is none
        wrong = {"x1": x1.numpy(), "x2": x1.numpy() + 0.5}
        np.savez(path, unit="block", map=which, domain="", **wrong)
        with pytest.raises(AssertionError):
            exec(code, {"model": net})  # noqa: S102


@pytest.mark.parametrize(
    "evil",
    ["../../etc/passwd", "/root/x", "..", "", ".hidden", "a\\..\\b", "a" * 400, "x\x00y", "ü/ß", "\ud800"],
)
def test_no_name_leaves_the_folder(evil: str, tmp_path: Path) -> None:
    name = file_name(evil, "sum")
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")
    assert len(name) < 200
    name.encode("ascii")


def test_different_units_have_different_files() -> None:
    names = ["a/b", "a_b", "a\\b", "layer1.0", "layer1.0#2", "A" * 150, "A" * 151]
    assert len({file_name(name, "sum") for name in names}) == len(names)
    assert file_name("layer1.0", "unit") == "layer1.0.unit.npz"


def test_a_module_that_is_no_such_map_is_not_asked(net: Net) -> None:
    x = -torch.ones(1, 2, 4, 4, dtype=torch.float64)
    assert module_map(net, "no.such", "sum", x) is None
    assert module_map(net, "", "sum", x) is None  # the whole network is not the unit
    assert module_map(net, "block.conv1", "sum", x) is None  # another shape
    assert module_map(net, "stem", "sum", x) is None  # does not take the input
    before = x.clone()
    run = module_map(net, "block", "sum", x)
    assert run is not None
    assert bool((run(x) < 0).any())
    torch.testing.assert_close(torch.relu(run(x)), net.block(x.clone()))
    torch.testing.assert_close(x, before)
