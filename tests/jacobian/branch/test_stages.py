"""Branches with gates, norms and other layouts: written as modules, taken apart by discovery, compared with dense."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian import (
    UnitJacobian,
    determinant,
    largest_singular_value,
    leftmost_real_eigenvalues,
    smallest_singular_value,
)
from resnet_diffeo_probe.jacobian.linearized import unit_jacobian
from resnet_diffeo_probe.jacobian.linearized.dense import dense_jacobian
from resnet_diffeo_probe.jacobian.measures import spectrum
from resnet_diffeo_probe.units import discover

D = torch.float64


class SqueezeExcitation(nn.Module):
    """Hu, Shen and Sun (2018)."""

    def __init__(self, channels: int, squeezed: int, gate: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.second(self.gate(self.first(x.mean((2, 3), keepdim=True)))))


class EfficientChannelAttention(nn.Module):
    """Wang et al. (2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3)).view(x.shape[0], 1, -1)
        return x * torch.sigmoid(self.conv(pooled)).view(x.shape[0], -1, 1, 1).expand_as(x)


class GlobalResponseNorm(nn.Module):
    """Woo et al. (2023), channels last as in their code."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = (
            nn.Parameter(torch.ones(1, 1, 1, channels)),
            nn.Parameter(torch.ones(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        norm = x.norm(p=2, dim=(1, 2), keepdim=True)
        return self.gamma * (x * (norm / (norm.mean(dim=-1, keepdim=True) + 1e-6))) + self.beta + x


class SpatialMean(nn.Module):
    """Subtracts the mean image of all channels: a small tensor with pixels and one channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x - 0.7 * x.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)


class Permute(nn.Module):
    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.order)


class Unit(nn.Module):
    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def conv(c_in: int, c_out: int, kernel: int = 3, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups)


def to_last() -> Permute:
    return Permute(0, 2, 3, 1)


def to_first() -> Permute:
    return Permute(0, 3, 1, 2)


def branches() -> dict[str, list[nn.Module]]:
    return {
        "squeeze-excitation": [conv(4, 4), nn.ReLU(), SqueezeExcitation(4, 2, nn.SiLU()), conv(4, 4)],
        "squeeze-excitation with ReLUs": [
            conv(4, 6),
            nn.ReLU(),
            SqueezeExcitation(6, 3, nn.ReLU()),
            conv(6, 4, 1),
        ],
        "squeeze-excitation at the end": [
            conv(4, 4),
            nn.GELU(),
            conv(4, 4),
            SqueezeExcitation(4, 2, nn.SiLU()),
        ],
        "inverted bottleneck": [
            conv(4, 8, 1),
            nn.SiLU(),
            conv(8, 8, 3, 8),
            nn.SiLU(),
            SqueezeExcitation(8, 2, nn.SiLU()),
            conv(8, 4, 1),
        ],
        "two gates": [
            conv(4, 4),
            nn.Tanh(),
            SqueezeExcitation(4, 2, nn.SiLU()),
            conv(4, 4),
            nn.ReLU(),
            SqueezeExcitation(4, 3, nn.SiLU()),
            conv(4, 4),
        ],
        "ECA": [conv(4, 4), nn.SiLU(), EfficientChannelAttention(), conv(4, 4, 1)],
        "group norm": [conv(4, 6), nn.GroupNorm(3, 6), nn.ReLU(), conv(6, 4)],
        "group norm first": [
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            conv(4, 4),
            nn.GroupNorm(1, 4),
            nn.ReLU(),
            conv(4, 4),
        ],
        "instance norm": [conv(4, 4), nn.GroupNorm(4, 4, affine=False), nn.Tanh(), conv(4, 4)],
        "layer norm of the image": [conv(4, 4), nn.LayerNorm([4, 5, 4]), nn.ReLU(), conv(4, 4)],
        "ConvNeXt": [
            conv(4, 4, 7, 4),
            to_last(),
            nn.LayerNorm(4),
            nn.Linear(4, 12),
            nn.GELU(),
            nn.Linear(12, 4),
            to_first(),
        ],
        "ConvNeXt V2": [
            conv(4, 4, 7, 4),
            to_last(),
            nn.LayerNorm(4, elementwise_affine=False),
            nn.Linear(4, 8),
            nn.GELU(),
            GlobalResponseNorm(8),
            nn.Linear(8, 4),
            to_first(),
        ],
        "mean image": [conv(4, 4), nn.ReLU(), SpatialMean(), conv(4, 4)],
    }


def unit_and_input(name: str, seed: int) -> tuple[UnitJacobian, Tensor, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Unit(*branches()[name]).eval()
        for parameter in module.parameters():
            parameter.data = torch.randn_like(parameter) * (
                0.8 if parameter.dim() == 1 else 1 / parameter[0].numel() ** 0.5
            )
        x = torch.randn(1, 4, 5, 4, dtype=D)
    found = discover(module, torch.ones(1, 4, 5, 4)).to(dtype=D)
    (unit,) = found.units
    return UnitJacobian(unit), x, dense_jacobian(unit.sum_map, x)


@pytest.mark.parametrize("name", branches())
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31))
def test_determinant_products_and_solves_equal_dense(name: str, seed: int) -> None:
    jacobian, x, dense = unit_and_input(name, seed)
    assert jacobian.not_read is None, "taken apart, not by the dense way"
    lin = jacobian.at(x)
    found = determinant(lin, seed=seed)
    sign, logabsdet = torch.linalg.slogdet(dense)
    assert (found.sign.value, found.sign.status) == (int(sign), Status.OK)
    assert found.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-9)
    along_the_way = determinant(lin, seed=seed, keep=False)
    assert along_the_way.sign == found.sign
    assert along_the_way.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-9)
    assert lin.factorize().logabsdet == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-9)
    v = torch.randn(3, 4, 5, 4, dtype=D)
    torch.testing.assert_close(lin.apply(v).flatten(1), v.flatten(1) @ dense.mT, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(lin.apply_transpose(v).flatten(1), v.flatten(1) @ dense, rtol=1e-9, atol=1e-9)
    assert found.factorization is not None
    torch.testing.assert_close(lin.apply(found.factorization.solve(v)), v, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        lin.apply_transpose(found.factorization.solve_transpose(v)), v, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["squeeze-excitation", "group norm", "ConvNeXt", "two gates"])
def test_spectrum_equals_dense(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "_DENSE_SINGULAR", 0)
    monkeypatch.setattr(spectrum, "_DENSE_EIGEN", 0)
    jacobian, x, dense = unit_and_input(name, 11)
    lin = jacobian.at(x)
    sigma = torch.linalg.svdvals(dense)
    assert largest_singular_value(lin).value == pytest.approx(float(sigma[0]), rel=1e-8)
    factorization = determinant(lin).factorization
    assert smallest_singular_value(lin, factorization).value == pytest.approx(float(sigma[-1]), rel=1e-8)
    eigenvalues = torch.linalg.eigvals(dense - torch.eye(80, dtype=D))
    real = eigenvalues.real[eigenvalues.imag.abs() < 1e-12]
    found = leftmost_real_eigenvalues(lin)
    assert found.leftmost.value == pytest.approx(float(real.min()), rel=1e-7)
    assert found.below_minus_one.value == int((real < -1).sum())


def test_the_rank_of_a_gate_is_that_of_its_narrowest_place() -> None:
    jacobian, x, _ = unit_and_input("inverted bottleneck", 0)
    assert jacobian.at(x).rank == 2  # the squeezed channels, not the eight gates


def test_a_kink_inside_a_gate_is_seen() -> None:
    module = Unit(conv(4, 4), nn.Tanh(), SqueezeExcitation(4, 2, nn.ReLU()), conv(4, 4)).eval()
    gate = module.branch[2]
    torch.nn.init.zeros_(gate.first.weight)
    torch.nn.init.zeros_(gate.first.bias)
    (unit,) = discover(module, torch.ones(1, 4, 5, 4)).to(dtype=D).units
    found = determinant(UnitJacobian(unit).at(torch.ones(1, 4, 5, 4)))
    assert found.sign.status is Status.ON_KINK


class SpatialSoftmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.softmax(x.flatten(2), dim=-1).view_as(x)


def test_what_mixes_full_size_images_is_dense_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Unit(conv(4, 4), SpatialSoftmax(), conv(4, 4)).eval()
    (unit,) = discover(module, torch.ones(1, 4, 5, 4)).to(dtype=D).units
    x = torch.randn(1, 4, 5, 4, dtype=D)
    jacobian = UnitJacobian(unit)
    assert jacobian.not_read is not None
    sign, logabsdet = torch.linalg.slogdet(dense_jacobian(unit.sum_map, x))
    found = determinant(jacobian.at(x))
    assert (found.sign.value, found.logabsdet.value) == (
        int(sign),
        pytest.approx(float(logabsdet), rel=1e-10),
    )
    monkeypatch.setattr(unit_jacobian, "_DENSE_DIMENSION", 10)
    with pytest.raises(Exception, match="splits"):
        UnitJacobian(unit)
