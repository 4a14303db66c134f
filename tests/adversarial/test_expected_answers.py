"""Answers that an expert expects: dead branches, constants made in `forward`, layouts, copies, sizes, plain reasons."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.linearized.dense import dense_logdet
from resnet_diffeo_probe.jacobian.measures.spectrum import leftmost_by_products


class Residual(nn.Module):
    """x + W₂ · inner(W₁ x)."""

    def __init__(self, inner, n: int) -> None:
        super().__init__()
        self.first, self.last, self.inner = nn.Linear(n, n), nn.Linear(n, n), inner

    def forward(self, x):
        return x + self.last(self.inner(self.first(x)))


def rows_of(result, quantity):
    return [row for row in result["measurements"] if row["quantity"] == quantity]


CONSTANTS = {
    "full, to x": lambda x, a: x * torch.full(x.shape[1:], a).to(x),
    "full, of the type of x": lambda x, a: torch.tanh(x + torch.full(x.shape[1:], a).type_as(x)),
    "tensor, to x": lambda x, a: x * torch.tensor(a).to(x),
    "ones in a product": lambda x, a: torch.tanh(x) @ (a * torch.ones(x.shape[1], x.shape[1])),
    "a mask": lambda x, a: x * (torch.arange(x.shape[1]) > a),
    "a mask of numbers": lambda x, a: x * (torch.arange(x.shape[1]) > a).to(x.dtype),
    "a window": lambda x, a: a * F.linear(x, torch.hann_window(x.shape[1] ** 2).reshape(x.shape[1], -1)),
    "a window, to x": lambda x, a: x * torch.hann_window(x.shape[1] + 2)[1:-1].to(x),
    "an identity": lambda x, a: torch.relu(x) @ torch.eye(x.shape[1]).mul(a),
    "steps": lambda x, a: F.linear(torch.sin(x), torch.linspace(-1, 1, x.shape[1] ** 2).view(x.shape[1], -1)),
    "expanded": lambda x, a: x * torch.full((1,), a).expand_as(x),
}


@settings(max_examples=110)
@given(
    name=st.sampled_from(sorted(CONSTANTS)),
    seed=st.integers(0, 10_000),
    n=st.sampled_from([2, 3, 6]),
    a=st.floats(-2, 2, width=32),
)
def test_constants_made_in_forward_are_measured_as_they_are(name, seed, n, a):
    torch.manual_seed(seed)
    module = Residual(lambda x: CONSTANTS[name](x, a), n).eval()
    X = torch.randn(1, n)
    result = rdp.analyze(module, X, measures=["sign", "logabsdet"]).result
    # the user's own arithmetic, differentiated by torch
    _, logdet = dense_logdet(module, X)
    (sign,), (found,) = rows_of(result, "sign"), rows_of(result, "logabsdet")
    if math.isfinite(logdet) and logdet > -4:
        assert sign["status"] in ("ok", "on_kink"), sign
        assert found["value"] == pytest.approx(logdet, abs=1e-3)


@pytest.mark.parametrize("weight", [0.0, 1e-300, 1e-30, 1e-8])
@pytest.mark.parametrize("size", [3, 24])
def test_a_dead_branch_keeps_its_row(weight, size):
    torch.manual_seed(0)
    last = nn.Conv2d(3, 3, 3, padding=1)
    last.weight.data = (weight * last.weight.double()).to(torch.float64)
    last.bias.data = torch.zeros(3, dtype=torch.float64)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1).double(), nn.ReLU(), last)

        def forward(self, x):
            return x + self.f(x)

    result = rdp.analyze(Block().eval(), torch.randn(2, 3, size, size).double(), budget="standard").result
    for quantity in ("sign", "sigma_min", "sigma_max"):
        for row in rows_of(result, quantity):
            assert row["status"] == "ok", row
            assert row["value"] == pytest.approx(1, abs=1e-6)
    assert all(row["value"] == pytest.approx(0, abs=1e-3) for row in rows_of(result, "logabsdet"))
    assert not [row for row in result["measurements"] if row["status"] == "error"]


def test_a_branch_that_is_zero_to_rounding_is_not_said_to_have_no_negative_eigenvalue():
    found = leftmost_by_products(lambda v: 0 * v, 1000)
    assert (found.below_minus_one.status, found.below_minus_one.value) == (Status.OK, 0)
    assert found.leftmost.value is None
    assert found.leftmost.status is Status.NOT_CONVERGED
    assert "every real eigenvalue is above -2" in found.leftmost.reason
    exactly = leftmost_by_products(lambda v: 0 * v, 1000, resolution=0.0)
    assert exactly.critical_step.status is Status.INFINITE


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.flatten(1),
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x.flatten(2).transpose(1, 2),
        lambda x: x.reshape(x.shape[0], -1, 2),
    ],
)
def test_another_layout_is_never_said_to_be_no_bijection(layout):
    class Rearranged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return layout(x) + layout(torch.relu(self.conv(x)))

    result = rdp.analyze(Rearranged().eval(), torch.randn(2, 2, 4, 4), budget="quick").result
    for verdict in result["verdicts"]:
        assert verdict["state"] != "not_applicable"
        assert "cannot" not in verdict["sentence"]
        assert "no candidate" not in verdict["sentence"]


def test_as_many_coordinates_behind_a_projection_are_not_said_to_change_the_dimension():
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.way = nn.Conv2d(2, 8, 1, stride=2)
            self.f = nn.Sequential(nn.Conv2d(2, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

        def forward(self, x):
            return self.way(x) + self.f(x)

    result = rdp.analyze(Projected().eval(), torch.randn(1, 2, 4, 4), budget="quick").result
    assert "cannot be a bijection" not in result["verdicts"][0]["sentence"]
    assert "as many coordinates" in result["verdicts"][0]["sentence"]


@settings(max_examples=100)
@given(distinct=st.integers(1, 4), copies=st.integers(1, 4), seed=st.integers(0, 1000))
def test_copies_of_an_input_are_one_draw(distinct, copies, seed):
    torch.manual_seed(seed)
    module = Residual(torch.tanh, 2)
    with torch.no_grad():
        module.last.weight.mul_(1e-3)
    X = torch.randn(distinct, 2).repeat(copies, 1)
    verdict = rdp.analyze(module.eval(), X, measures=["sign"]).result["verdicts"][0]
    if verdict["state"] == "no_violation_found":
        assert verdict["violating_share_upper_95"] == pytest.approx(1 - 0.05 ** (1 / distinct))
        assert (f"({distinct} distinct)" in verdict["sentence"]) == (copies > 1)
    else:
        assert verdict["state"] == "certified_injective"


def test_64_copies_of_one_image_are_not_64_draws():
    module = nn.Sequential(Scaled(2.0)).eval()
    verdict = rdp.analyze(module, torch.ones(64, 3), budget="quick").result["verdicts"][0]
    assert verdict["violating_share_upper_95"] == pytest.approx(0.95)


class Scaled(nn.Module):
    """x + a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.f = nn.Linear(3, 3, bias=False)
        self.f.weight.data = a * torch.eye(3)

    def forward(self, x):
        return x + self.f(x)


@pytest.mark.parametrize("a", [1e30, -1e30, 1e20])
def test_a_branch_beside_which_x_is_lost_is_not_called_singular(a):
    result = rdp.analyze(Scaled(a).eval(), torch.randn(2, 3), budget="quick").result
    for row in rows_of(result, "sign"):
        if row["status"] == "ok":
            assert row["value"] == (1 if a > 0 else -1)
        else:
            assert "singular" not in row["reason"]
            assert "x is lost in rounding beside F(x)" in row["reason"]


@pytest.mark.parametrize(
    "inner",
    [
        lambda x: torch.heaviside(x, torch.ones(())),
        lambda x: torch.fft.ifft(torch.fft.fft(x)).real,
        lambda x: torch.view_as_real(torch.complex(x, x)).sum(-1),
    ],
)
def test_no_reason_is_a_raw_message(inner):
    torch.manual_seed(0)
    result = rdp.analyze(Residual(inner, 4).eval(), torch.randn(2, 4), budget="quick").result
    for row in result["measurements"]:
        assert row["status"] != "error", row
        assert "RuntimeError" not in (row.get("reason") or "").split("(")[0]
    for verdict in result["verdicts"]:
        assert "RuntimeError" not in verdict["sentence"].split("(")[0]
