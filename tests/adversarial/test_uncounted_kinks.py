"""Ties, norms at zero and cancelled pre-activations: an input on a kink has no certain sign."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import resnet_diffeo_probe as rdp


class Res(nn.Module):
    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Formula(nn.Module):
    def __init__(self, how: Callable[[Tensor], Tensor], out: Tensor):
        super().__init__()
        self.how = how
        self.out = nn.Linear(out.shape[1], out.shape[0], bias=False)
        self.out.weight.data = out.clone()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.how(x))


def _signs(branch: nn.Module, x: Tensor) -> list[dict[str, object]]:
    study = rdp.analyze(nn.Sequential(Res(branch)).eval(), x, budget="quick")
    return [row for row in study.result["measurements"] if row["quantity"] == "sign"]


# each bends where coordinates are equal or zero, and is a kink of x + W·how(x) there
_TIES: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "max of two": (lambda x: torch.maximum(x, x.flip(1)), [0.7, 1.0, 0.7]),
    "min of two": (lambda x: torch.minimum(x, x.flip(1)), [0.7, 1.0, 0.7]),
    "largest": (lambda x: x * x.amax(dim=1, keepdim=True), [0.7, 0.7, 0.1]),
    "largest, with its place": (lambda x: x - x.max(dim=1, keepdim=True).values, [0.7, 0.7, 0.1]),
    "norm at zero": (lambda x: x.norm(dim=1, keepdim=True).expand(-1, 3), [0.0, 0.0, 0.0]),
    "sorted": (lambda x: torch.sort(x, dim=1)[0], [0.3, 0.3, 0.9]),
    "median": (lambda x: x.median(dim=1, keepdim=True)[0] * x, [0.3, 0.3, 0.9]),
    "where": (lambda x: torch.where(x > 0, 2 * x, 0.1 * x), [0.0, 1.0, -1.0]),
    "adaptive max pooling": (
        lambda x: F.adaptive_max_pool1d(x[:, None], 1)[:, 0].expand(-1, 3),
        [0.7, 0.7, 0.1],
    ),
    "concatenated ReLU": (lambda x: torch.cat([F.relu(x), F.relu(-x)], 1)[:, [0, 4, 2]], [0.0, 0.0, 0.4]),
}


@pytest.mark.parametrize("name", _TIES)
@pytest.mark.parametrize("seed", range(6))
def test_a_tie_has_no_certain_sign_and_its_neighbours_do(name: str, seed: int) -> None:
    how, point = _TIES[name]
    out = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
    x = torch.tensor([point, [0.31, -0.52, 0.83]])
    tie, plain = _signs(Formula(how, out), x)
    assert tie["status"] in ("on_kink", "undetermined", "singular"), tie
    assert plain["status"] == "ok", plain


def test_the_identity_written_through_a_max_is_not_proven_to_fold() -> None:
    # x + (−2x + 2 max(x, x)): torch's derivative at the tie is a mean of two equal slopes here, and of others elsewhere
    def how(x: Tensor) -> Tensor:
        return torch.maximum(x, 2 * x) - torch.maximum(torch.zeros_like(x), x)

    branch = Formula(lambda x: how(x) - x, torch.eye(3))
    study = rdp.analyze(
        nn.Sequential(Res(branch)).eval(), torch.tensor([[0.0] * 3, [1.0, -2.0, 3.0]]), budget="quick"
    )
    (verdict,) = study.verdicts.values()
    assert verdict["state"] != "not_injective_proven", verdict["sentence"]


class Squeeze(nn.Module):
    """Squeeze-and-excitation by the largest pixel: at a constant image all pixels tie."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.mix = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * torch.sigmoid(self.mix(F.adaptive_max_pool2d(x, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_a_gate_by_the_largest_pixel_has_no_sign_at_a_constant_image(seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.stack([torch.full((2, 5, 5), 0.4), torch.randn(2, 5, 5)])
    constant, plain = _signs(Squeeze(), images)
    assert constant["status"] == "on_kink", constant
    assert plain["status"] == "ok", plain


@pytest.mark.parametrize("seed", range(4))
def test_instance_norm_of_a_constant_image_leaves_every_relu_on_its_kink(seed: int) -> None:
    torch.manual_seed(seed)
    branch = nn.Sequential(nn.InstanceNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    images = torch.stack([torch.full((2, 5, 5), 0.4), torch.randn(2, 5, 5)])
    constant, plain = _signs(branch, images)
    assert constant["status"] != "ok", constant
    assert plain["status"] == "ok", plain


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.floats(6, 9))
def test_a_cancelled_pre_activation_decides_no_sign_wrongly(seed: int, digits: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = 7
    x = torch.randn(1, n, generator=generator, dtype=torch.float64)
    row = 10**digits * torch.randn(n, generator=generator, dtype=torch.float64)
    offset = 10**digits * 1e-16 * float(torch.randn(1, generator=generator)) * 4
    first, second = nn.Linear(n, 1).double(), nn.Linear(1, n, bias=False).double()
    first.weight.data = row[None]
    first.bias.data = -(row @ x[0])[None] + offset
    second.weight.data = -(2 * row / row.square().sum())[:, None]
    (found,) = _signs(nn.Sequential(first, nn.ReLU(), second), x)
    # exactly, in rational numbers: on which side the pre-activation lies decides between slopes 1 and −1
    from fractions import Fraction

    z = sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, x[0], strict=True)), Fraction(0))
    z += Fraction(float(first.bias.data[0]))
    if found["status"] == "ok":
        assert found["value"] == (-1 if z > 0 else 1)
