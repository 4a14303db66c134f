"""Opposite signs prove nothing of a map that may jump: each map here is injective by construction, and looks folded.

Coordinate by coordinate g is x on one part of the line and a reflected, far away copy on the rest: two parts whose
images do not meet, so g is injective, with both signs of the derivative. Only the jump makes that possible.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.bijectivity.continuity import continuity_of
from resnet_diffeo_probe.units import discover


class Res(nn.Module):
    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Jump(nn.Module):
    """x -> F(x) with g = x + F: x where |x| ≤ t, −slope·x beyond; slope > 1 keeps the images apart."""

    def __init__(self, spelling: str, t: float, slope: float, n: int):
        super().__init__()
        self.spelling, self.t = spelling, t
        self.out = nn.Linear(n, n, bias=False)
        self.out.weight.data = -(1 + slope) * torch.eye(n)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(_BEYOND[self.spelling](x, self.t))


# every way of spelling "x where |x| > t, else 0"
_BEYOND: dict[str, Callable[[Tensor, float], Tensor]] = {
    "hardshrink": F.hardshrink,
    "where": lambda x, t: torch.where(x.abs() > t, x, torch.zeros_like(x)),
    "mask by product": lambda x, t: x * (x.abs() > t).to(x.dtype),
    "mask by float": lambda x, t: x * (x.abs() > t),
    "masked_fill": lambda x, t: x.masked_fill(x.abs() <= t, 0.0),
    "threshold twice": lambda x, t: F.threshold(x, t, 0.0) - F.threshold(-x, t, 0.0),
    "step by sign": lambda x, t: x * (1 + torch.sign(x.abs() - t)) / 2,
    "step by heaviside": lambda x, t: x * torch.heaviside(x.abs() - t, torch.zeros(1).to(x)),
    "step by rounding": lambda x, t: x * torch.clamp(torch.floor(x.abs() / t), 0, 1),
    "step by integers": lambda x, t: x * (x.abs() / t).to(torch.int64).clamp(0, 1).to(x.dtype),
}


def _verdict(branch: nn.Module, x: Tensor, budget: str = "quick") -> dict[str, object]:
    study = rdp.analyze(nn.Sequential(Res(branch)).eval(), x, budget=budget)
    (verdict,) = study.verdicts.values()
    return dict(verdict)


@pytest.mark.parametrize("spelling", _BEYOND)
def test_a_jump_by_any_spelling_is_no_proof(spelling: str) -> None:
    x = torch.tensor([[0.3, 0.2, -0.4], [2.0, 3.0, -4.0]])
    verdict = _verdict(Jump(spelling, 1.0, 2.0, 3), x)
    assert verdict["state"] != "not_injective_proven", verdict["sentence"]


@settings(max_examples=60, deadline=None)
@given(
    spelling=st.sampled_from(sorted(_BEYOND)),
    t=st.floats(0.25, 4),
    slope=st.floats(1.01, 8),
    n=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
def test_no_injective_map_with_jumps_is_established_to_be_continuous(
    spelling: str, t: float, slope: float, n: int, seed: int
) -> None:
    x = torch.randn(2, n, generator=torch.Generator().manual_seed(seed))
    (unit,) = discover(nn.Sequential(Res(Jump(spelling, t, slope, n))).eval(), x).units
    continuity = continuity_of(unit.branch)
    assert not continuity.established
    assert continuity.broken_by


class Routed(nn.Module):
    """Top-1 routing between two linear experts: x where the first wins, a reflection far away where the second does."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.out = nn.Linear(2, 2, bias=False)
        self.out.weight.data = torch.diag(torch.tensor([-4.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.stack([torch.ones_like(x[:, 0]), x[:, 0].abs()], 1)
        if self.how == "one_hot":
            chosen = F.one_hot(scores.argmax(1), 2)[:, 1:].to(x.dtype)
        elif self.how == "topk":
            chosen = scores.topk(1, dim=1).indices.to(x.dtype)
        else:
            chosen = torch.sort(scores, dim=1)[1][:, :1].eq(0).to(x.dtype)
        return self.out(x * chosen)


@pytest.mark.parametrize("how", ["one_hot", "topk", "sort"])
def test_routing_to_the_best_expert_jumps(how: str) -> None:
    verdict = _verdict(Routed(how), torch.tensor([[0.3, 0.5], [3.0, 0.5]]))
    assert verdict["state"] != "not_injective_proven", verdict["sentence"]


class HardGate(nn.Module):
    """A gate for a whole image that opens where its mean is large: in the chain path, beyond the dense dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.conv.weight.data.fill_(-3.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * (x.mean((1, 2, 3), keepdim=True).abs() > 3).to(x.dtype)


def test_a_hard_gate_on_a_large_image_is_no_proof() -> None:
    # 3,249 coordinates, an odd number: x below the threshold, −2x beyond it, whose mean is then beyond twice of it
    images = torch.stack([torch.full((1, 57, 57), 0.5), torch.full((1, 57, 57), 4.0)])
    images += 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    verdict = _verdict(HardGate(), images)
    assert verdict["state"] != "not_injective_proven", verdict["sentence"]


_ESTABLISHED: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)),
    "gelu after layer norm": lambda: nn.Sequential(
        nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6)
    ),
    "silu, tanh": lambda: nn.Sequential(nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 6), nn.Tanh()),
    "leaky, elu": lambda: nn.Sequential(nn.LeakyReLU(0.1), nn.Linear(6, 6), nn.ELU()),
    "softshrink": lambda: nn.Sequential(nn.Linear(6, 6), nn.Softshrink(0.3)),
    "hardswish": lambda: nn.Sequential(nn.Linear(6, 6), nn.Hardswish(), nn.Linear(6, 6)),
}


class Smooth(nn.Module):
    def __init__(self, how: Callable[[Tensor], Tensor]):
        super().__init__()
        self.how, self.out = how, nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.how(x))


_FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "rms norm by hand": lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
    "cosine": lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-6),
    "largest": lambda x: x - x.max(dim=1, keepdim=True).values,
    "sorted": lambda x: torch.sort(x, dim=1)[0],
    "softmax": lambda x: torch.softmax(x, 1) * x,
    "log of softplus-like": lambda x: torch.log(1 + torch.exp(-x.abs())),
    "root of a square": lambda x: torch.sqrt(x.square() + 0.01),
    "permuted": lambda x: x[:, [5, 4, 3, 2, 1, 0]].reshape(-1, 2, 3).transpose(1, 2).reshape(-1, 6),
    "clipped by tensors": lambda x: torch.maximum(torch.minimum(x, torch.ones_like(x)), -torch.ones_like(x)),
}


@pytest.mark.parametrize("name", [*_ESTABLISHED, *_FORMULAS])
def test_what_is_continuous_is_established(name: str) -> None:
    torch.manual_seed(0)
    branch = _ESTABLISHED[name]() if name in _ESTABLISHED else Smooth(_FORMULAS[name])
    (unit,) = discover(nn.Sequential(Res(branch)).eval(), torch.randn(2, 6)).units
    assert continuity_of(unit.branch).established, continuity_of(unit.branch).broken_by


_DOUBTS: dict[str, Callable[[Tensor], Tensor]] = {
    "division by what may be zero": lambda x: x / x.norm(dim=1, keepdim=True),
    "reciprocal root": lambda x: x * torch.rsqrt(x.square().mean(1, keepdim=True)),
    "logarithm": lambda x: torch.log(x.abs()),
    "half precision": lambda x: x.half().to(x.dtype),
    "remainder": lambda x: torch.remainder(x, 1.0),
    "number of non-zeros": lambda x: x * torch.norm(x, p=0, dim=1, keepdim=True),
    "positions": lambda x: x.argsort(1).to(x.dtype),
    "looked up": lambda x: x.gather(1, x.argmax(1, keepdim=True)).expand(-1, 6),
    "softplus that goes over to a line": lambda x: F.softplus(x, 1.0, 1.0),
}


@pytest.mark.parametrize("name", _DOUBTS)
def test_what_may_jump_is_not_established(name: str) -> None:
    (unit,) = discover(nn.Sequential(Res(Smooth(_DOUBTS[name]))).eval(), torch.randn(2, 6)).units
    assert not continuity_of(unit.branch).established


def test_a_continuous_fold_is_still_proven_by_signs() -> None:
    branch = nn.Sequential(nn.ReLU(), nn.Linear(3, 3, bias=False))
    branch[1].weight.data = -2 * torch.eye(3)
    x = torch.tensor([[-0.3, -0.2, -0.4], [2.0, 3.0, 4.0]])
    verdict = _verdict(branch, x)
    assert verdict["state"] == "not_injective_proven"
    assert any("continuous" in premise for premise in verdict["evidence"]["premises"])
