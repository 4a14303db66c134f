"""Kind 6: the float64 copy is another function. Maps of which that is so, or not so, by construction."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.jacobian.linearized.dense import dense_logdet
from resnet_diffeo_probe.units import discover
from resnet_diffeo_probe.units.faithful import Faithfulness
from resnet_diffeo_probe.units.rounding import rounding_of

ROUNDS_IN_FLOAT32 = 12582912.0  # 1.5 · 2²³: added and taken away, it rounds float32 to whole numbers


class Residual(nn.Module):
    """x + W₂ · inner(W₁ x)."""

    def __init__(self, inner, n: int, size: float = 1.0) -> None:
        super().__init__()
        self.first, self.last, self.inner = nn.Linear(n, n), nn.Linear(n, n), inner
        self.first.weight.data *= size

    def forward(self, x):
        return x + self.last(self.inner(self.first(x)))


SAME = {
    "relu": torch.relu,
    "softplus": F.softplus,
    "layer norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "cancellation": lambda x: (x + 100) - 100,
    "large and cancelled": lambda x: 1000 * x - 999 * x,
    "constants made in forward": lambda x: x * torch.full(x.shape[1:], 0.1).to(x) + torch.ones(x.shape[1:]),
    "a dtype that is named": lambda x: x * torch.linspace(0, 1, x.shape[1], dtype=torch.float32),
    "an epsilon of the dtype": lambda x: x / (x.abs() + torch.finfo(x.dtype).eps).sqrt(),
    "a branch on the dtype": lambda x: x.tanh() if x.dtype == torch.float32 else x.sin(),
    "rms norm": lambda x: F.rms_norm(x, x.shape[1:]),
}
OTHER = {
    "rounded by a large number": lambda x: (x + ROUNDS_IN_FLOAT32) - ROUNDS_IN_FLOAT32,
    "absorbed": lambda x: (x + 1e9) - 1e9,
    "the next float": lambda x: (torch.nextafter(x, x + 1) - x) * 2.0**23,
    "beyond float32": lambda x: (x * 1e30) * 1e30 / 1e30 / 1e30,
}


def doubts_of(inner, seed, n, size):
    torch.manual_seed(seed)
    module = Residual(inner, n, size).eval()
    X = torch.randn(3, n)
    found = discover(module, X[:1])
    assert len(found.units) == 1
    faithful = Faithfulness(module, found, found.to(dtype=torch.float64), X[:1])
    return module, X, [faithful.doubts(x) for x in X.split(1)]


@settings(max_examples=120)
@given(
    name=st.sampled_from(sorted(SAME)),
    seed=st.integers(0, 10_000),
    n=st.sampled_from([2, 7, 300]),
    size=st.sampled_from([1e-4, 1.0, 100.0]),
)
def test_rounding_is_never_called_another_function(name, seed, n, size):
    _, _, doubts = doubts_of(SAME[name], seed, n, size)
    assert doubts == [{}, {}, {}]


@settings(max_examples=100)
@given(name=st.sampled_from(sorted(OTHER)), seed=st.integers(0, 10_000), n=st.sampled_from([2, 7, 40]))
def test_another_function_in_float32_is_a_status(name, seed, n):
    module, X, doubts = doubts_of(OTHER[name], seed, n, 1.0)
    with torch.no_grad():
        own = [module(x) - x for x in X.split(1)]
        finer = [module.double()(x.double()) - x for x in X.split(1)]
    for f32, f64, found in zip(own, finer, doubts, strict=True):
        apart = float((f32.double() - f64).abs().max())
        if not apart < 0.02 * max(float(f64.abs().max()), float(X.abs().max())):
            assert found
            assert "float32, the network's own arithmetic" in next(iter(found.values()))


def test_rows_of_another_function_hold_no_number_and_prove_nothing():
    torch.manual_seed(0)
    module = Residual(OTHER["absorbed"], 3).eval()
    result = rdp.analyze(module, torch.randn(4, 3), budget="standard").result
    assert result["measurements"]
    for row in result["measurements"]:
        assert row["status"] in ("other_function", "not_applicable")
        assert row["value"] is None
    assert result["verdicts"][0]["state"] == "undetermined"
    assert "another function than in float64" in result["verdicts"][0]["sentence"]


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 0))
def test_rms_norm_keeps_the_epsilon_of_the_users_dtype(seed, exponent):
    torch.manual_seed(seed)
    n = 4
    module = nn.Sequential(Normed(n, None)).eval()
    explicit = nn.Sequential(Normed(n, torch.finfo(torch.float32).eps)).eval()
    explicit.load_state_dict(module.state_dict())
    x = 10.0**exponent * torch.randn(1, n)
    unit, told = (discover(m, x).to(dtype=torch.float64).units[0] for m in (module, explicit))
    sign, logdet = dense_logdet(unit.sum_map, x.double())
    assert (sign, logdet) == pytest.approx(dense_logdet(told.sum_map, x.double()), rel=1e-12)


class Normed(nn.Module):
    """x − RMSNorm(W x)."""

    def __init__(self, n: int, eps: float | None) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(n, n, bias=False), nn.RMSNorm(n, eps=eps)

    def forward(self, x):
        return x - self.norm(self.linear(x))


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e-3, 1.0, 1e3]), n=st.sampled_from([4, 64]))
def test_the_measured_rounding_is_of_the_size_of_the_real_one(seed, size, n):
    torch.manual_seed(seed)
    module = Residual(torch.relu, n, size).eval()
    x = torch.randn(1, n)
    found = discover(module, x)
    unit = found.to(dtype=torch.float64).units[0]
    real = (found.units[0].branch(x).double() - unit.branch(x.double())).abs().max()
    seen = rounding_of(unit.branch, x.double(), torch.finfo(torch.float32).eps).max()
    assert real <= 64 * seen
    assert seen <= 1e-4 * unit.branch(x.double()).abs().max()
