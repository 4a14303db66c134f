"""Kind 7: autograd is not always the derivative. Maps whose declared slope is right, or wrong, by construction."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.jacobian.measures.declared import JUMPS, UNDECLARED, declared_doubt


class Backward(torch.autograd.Function):
    """A smooth map with a backward of its own, off by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.cos() * ctx.factor, None


def one_coordinate(x):
    return torch.cat([x[:, :-1], x[:, -1:] + 2 * x[:, -1:].detach()], dim=1)


def fake_quantized(x):
    return torch.fake_quantize_per_tensor_affine(x, 0.3, 0, -128, 127)


HONEST = {
    "linear": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "steep softplus": lambda x: F.softplus(x, beta=1e4),
    "round": lambda x: x + x.round(),
    "shrink with a jump": lambda x: F.hardshrink(x, 0.3),
    "floor without its gradient": lambda x: x + x.floor().detach(),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "a tie everywhere": lambda x: torch.maximum(x, 1 * x) + torch.stack([x, x]).amax(0),
    "sorted": lambda x: x.sort(dim=1).values,
    "layer norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "constant": lambda x: 0 * x + 1,
    "absorbed": lambda x: x + 1e12,
    "absorbed and taken back": lambda x: (x + 1e12) - 1e12,
    "its own right backward": lambda x: Backward.apply(x, 1.0),
}
DISHONEST = {
    "straight-through round": lambda x: x + (x.round() - x).detach(),
    "fake quantisation": fake_quantized,
    "a part without its gradient": lambda x: x + 2 * x.sin().detach(),
    "a backward off by 2": lambda x: Backward.apply(x, 2.0),
    "a backward off by 1 %": lambda x: Backward.apply(x, 1.01),
    "a backward of the other sign": lambda x: Backward.apply(x, -1.0),
    "one coordinate": one_coordinate,
    "no derivative declared": lambda x: x.detach() * 3,
}


def around(inner, seed, n, size):
    """W₂ · inner(W₁ x), and an input at which W₁ x has the size that is asked for."""
    generator = torch.Generator().manual_seed(seed)
    first, last = (torch.randn(n, n, generator=generator, dtype=torch.float64) / n**0.5 for _ in range(2))
    x = size * torch.randn(1, n, generator=generator, dtype=torch.float64)
    return lambda z: inner(z @ first) @ last, x


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(HONEST)), seed=st.integers(0, 10_000), n=st.sampled_from([2, 5, 40]))
def test_a_derivative_that_is_right_is_never_doubted(name, seed, n):
    function, x = around(HONEST[name], seed, n, 3.0)
    moved = 1e-3 if "absorbed" in name else 1e-14
    assert declared_doubt(function, x, rounding=lambda: moved * torch.ones_like(x)) is None


@settings(max_examples=100)
@given(name=st.sampled_from(["relu", "maximum", "a tie everywhere", "sorted"]), seed=st.integers(0, 10_000))
def test_a_kink_at_the_input_is_no_false_alarm(name, seed):
    function, x = around(HONEST[name], seed, 6, 1.0)
    assert declared_doubt(function, 0 * x, rounding=lambda: 1e-16 * torch.ones_like(x)) is None


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(DISHONEST)), seed=st.integers(0, 10_000), n=st.sampled_from([2, 5, 40]))
def test_a_derivative_that_is_wrong_is_always_doubted(name, seed, n):
    function, x = around(DISHONEST[name], seed, n, 3.0)
    assert declared_doubt(function, x, rounding=lambda: 1e-14 * torch.ones_like(x)) == UNDECLARED


def test_one_wrong_coordinate_of_ten_thousand_shows():
    x = torch.randn(1, 10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert declared_doubt(one_coordinate, x, rounding=lambda: 1e-15 * torch.ones_like(x)) == UNDECLARED
    assert declared_doubt(F.relu, x, rounding=lambda: 1e-15 * torch.ones_like(x)) is None


def test_an_input_on_a_jump_is_told_from_one_on_a_kink():
    x = torch.tensor([[0.5, 1.5, -0.5]], dtype=torch.float64)
    quantized = declared_doubt(
        lambda z: torch.fake_quantize_per_tensor_affine(z, 1.0, 0, -128, 127),
        x,
        rounding=lambda: 1e-16 * torch.ones_like(x),
    )
    assert quantized == JUMPS
    assert declared_doubt(torch.abs, 0 * x, rounding=lambda: 1e-16 * torch.ones_like(x)) is None


class Step(nn.Module):
    """x + F(x), F a fake-quantised linear layer with slope −3: the declared determinant is negative, the true one 1."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(3, 3, bias=False)
        self.f.weight.data = -3 * torch.eye(3)

    def forward(self, x):
        return x + self.f(torch.fake_quantize_per_tensor_affine(x, 0.5, 0, -128, 127))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_of_a_fake_quantised_unit_are_a_status_with_its_words(dtype):
    X = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    result = analyze(Step().eval(), X, Settings(budget=Budget.QUICK, dtype=dtype)).result
    rows = [row for row in result["measurements"] if row["quantity"] in ("sign", "logabsdet", "sign_margin")]
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"other_function"}
    assert {row["reason"] for row in rows} == {UNDECLARED}
    assert result["verdicts"][0]["state"] == "undetermined"
    assert UNDECLARED in result["verdicts"][0]["sentence"]


@pytest.mark.filterwarnings("ignore")  # torch's quantisation speaks of its own future
def test_a_network_prepared_for_quantisation_has_no_number_of_the_surrogate():
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))

        def forward(self, x):
            return x + self.f(x)

    torch.manual_seed(0)
    block = Block().train()
    block.qconfig = get_default_qat_qconfig("fbgemm")
    prepared = prepare_qat(block)
    X = torch.randn(3, 2, 5, 5)
    prepared(X)
    prepared.eval().apply(torch.ao.quantization.disable_observer)
    result = rdp.analyze(prepared, X, budget="quick").result
    rows = [row for row in result["measurements"] if row["quantity"] == "sign"]
    assert rows
    assert {row["status"] for row in rows} == {"other_function"}


def test_a_custom_backward_does_not_lead_astray():
    class Off(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(3, 3, bias=False)
            self.f.weight.data = torch.eye(3)

        def forward(self, x):
            return x + Backward.apply(self.f(x), -5.0)

    X = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    result = rdp.analyze(Off().eval(), X, budget="quick").result
    for row in result["measurements"]:
        if row["quantity"] == "sign":
            # det diag(1 + cos x) > 0; the declared one would be diag(1 − 5 cos x)
            assert (row["status"], row["value"]) in {("ok", 1), ("other_function", None)}
