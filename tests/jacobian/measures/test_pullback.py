"""The Jacobian of every unit's output by the pixels, against automatic differentiation of the whole network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.linearized.dense import dense_jacobian
from resnet_diffeo_probe.jacobian.measures.pullback import passages, pullback, pushed_tangents
from resnet_diffeo_probe.units import Discovery, discover

D = torch.float64


class Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1)
        self.side = nn.Identity() if inner == outer and stride == 1 else nn.Conv2d(inner, outer, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.side(x))


class Chain(nn.Module):
    """A stem, units one after another with something between two of them, a reshaping head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.one, self.two, self.three = Block(4, 4, 1), Block(4, 6, 2), Block(6, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(torch.relu(self.stem(x))))
        x = self.three(F.avg_pool2d(x, 3, 1, 1))
        return self.head(x.mean(dim=(2, 3)).view(x.shape[0], -1))


class SideBySide(nn.Module):
    """Two units on the same stem: the second is no function of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.left, self.right, self.after = Block(3, 3, 1), Block(3, 3, 1), Block(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        return self.after(torch.cat([self.left(x), self.right(x)], dim=1))


class Gated(nn.Module):
    """Squeeze and excitation, with shapes that are read off the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(c, 3, 3, padding=1) for c in (2, 3, 3))
        self.gate = nn.Linear(3, 3)
        self.after = Block(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        branch = self.second(torch.relu(self.first(x)))
        gate = torch.sigmoid(self.gate(branch.mean((2, 3)).view(x.shape[0], -1))).view(x.shape[0], 3, 1, 1)
        return self.after((x + branch * gate).reshape(x.size(0), -1).view(x.size(0), *x.shape[1:]))


class PreActivation(nn.Module):
    """The next shortcut reads the raw sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.convolutions = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for first, second in zip(self.convolutions[::2], self.convolutions[1::2], strict=True):
            x = x + second(torch.relu(first(torch.relu(x))))
        return x


def discovered(model: nn.Module, shape: tuple[int, ...] = (2, 6, 5)) -> tuple[Discovery, Tensor]:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.35)
    x = torch.randn(1, *shape)
    return discover(model, x).to(dtype=D), x.double()


def oracle(network: Discovery, x: Tensor, unit: str) -> Tensor:
    """The dense Jacobian of the tapped network up to a unit's output, by reverse mode over the whole of it."""
    tapped = network.with_taps()
    site = tapped.get_submodule(f"taps.{unit.replace('.', '_')}.output")
    seen: list[Tensor] = []
    site.register_forward_hook(lambda _m, _i, output: seen.append(output))

    def to_unit(v: Tensor) -> Tensor:
        seen.clear()
        tapped(v)
        return seen[-1]

    return dense_jacobian(to_unit, x)


@pytest.mark.parametrize(("network", "units"), [(Chain, 3), (SideBySide, 3), (PreActivation, 2), (Gated, 2)])
def test_every_depth_is_the_dense_jacobian_of_the_network(network: type[nn.Module], units: int) -> None:
    found, x = discovered(network())
    assert len(found.units) == units
    pushed = dict(pushed_tangents(found, x, batch=7))
    depths = pullback(found, x, batch=16)
    assert [depth.unit for depth in depths] == [unit.name for unit in found.units] == list(pushed)
    for depth in depths:
        jacobian = oracle(found, x, depth.unit)
        torch.testing.assert_close(pushed[depth.unit].mT, jacobian, rtol=1e-10, atol=1e-12)
        assert (depth.outputs, depth.directions) == tuple(jacobian.shape)
        sigma = torch.linalg.svdvals(jacobian)
        assert depth.findings["rank"].value == int(torch.linalg.matrix_rank(jacobian))
        assert depth.findings["sigma_max"].value == pytest.approx(float(sigma[0]), rel=1e-11)
        assert abs(depth.findings["sigma_min"].value - float(sigma[-1])) <= depth.findings["sigma_min"].error
        half = depth.findings["half_logdet"]
        if half.status is Status.OK:
            assert half.value == pytest.approx(float(sigma.log().sum()), rel=1e-9)
        else:
            assert int(torch.linalg.matrix_rank(jacobian)) < x.numel()


def test_a_metric_that_is_regular_somewhere() -> None:
    """The loop above is no test of the half log-determinant if every depth is singular."""
    found, x = discovered(PreActivation())
    assert all(depth.findings["half_logdet"].status is Status.OK for depth in pullback(found, x))


def test_tangents_are_pushed_from_unit_to_unit_and_around_neighbours() -> None:
    chain, _ = discovered(Chain())
    names = [unit.name for unit in chain.units]
    assert [passage.start for passage in passages(chain)] == [None, *names[:-1]]
    side, _ = discovered(SideBySide())
    assert [passage.start for passage in passages(side)] == [None, None, None]


def test_directions_span_a_part_of_the_pixels() -> None:
    found, x = discovered(Chain())
    basis = torch.linalg.qr(torch.randn(60, 5, dtype=D, generator=torch.Generator().manual_seed(1))).Q
    whole = dict(pushed_tangents(found, x))
    part = dict(pushed_tangents(found, x, directions=basis.mT.reshape(5, 2, 6, 5)))
    for unit, columns in part.items():
        torch.testing.assert_close(columns, basis.mT @ whole[unit])
    assert all(depth.directions == 5 for depth in pullback(found, x, directions=basis.mT))


def test_memory_that_is_not_allowed_is_not_taken() -> None:
    found, x = discovered(Chain())
    with pytest.raises(ConfigurationError, match="60 directions"):
        pullback(found, x, max_bytes=1000)


def test_one_image_at_a_time() -> None:
    found, x = discovered(Chain())
    with pytest.raises(ValueError, match="one image"):
        pullback(found, torch.cat([x, x]))
