"""What was once stated of activations and is not true, each with the right answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity import State, unit_verdicts
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import global_certificate
from resnet_diffeo_probe.bijectivity.continuity import Continuity
from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.measure import activation_measures
from resnet_diffeo_probe.units import ResidualUnit, discover

CONTINUOUS = Continuity(("add", "relu"))


class Residual(nn.Module):
    def __init__(self, branch: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.after = branch, after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.branch(x))


class Apply(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def scaled(factor: float) -> nn.Linear:
    layer = nn.Linear(3, 3, bias=False)
    layer.weight.data = factor * torch.eye(3)
    return layer


def unit_of(inner: nn.Module, after: nn.Module | None = None, *, factor: float = 0.5) -> ResidualUnit:
    network = (
        nn.Sequential(Residual(nn.Sequential(scaled(1.0), inner, scaled(factor)), after)).double().eval()
    )
    (unit,) = discover(network, torch.randn(2, 3, dtype=torch.float64)).units
    return unit


def certificate(inner: nn.Module, factor: float = 0.5) -> Any:
    return global_certificate(UnitJacobian(unit_of(inner, factor=factor)), lower=False)


def test_an_elu_of_negative_alpha_has_its_own_slope() -> None:
    found = certificate(nn.ELU(alpha=-5.0))
    assert found.upper == pytest.approx(2.5, rel=0.01) and not found.holds
    # and it does collide: f(a) = f(b) of one coordinate, a + ELU(a)/2
    a, b = torch.tensor(-0.5, dtype=torch.float64), torch.tensor(0.3224489, dtype=torch.float64)
    images = [x + 0.5 * F.elu(x, alpha=-5.0) for x in (a, b)]
    assert abs(float(images[0] - images[1])) < 0.02
    assert certificate(nn.ELU(alpha=-5.0), 0.15).holds
    assert certificate(nn.ELU(alpha=0.3)).upper == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    "inner",
    [
        nn.CELU(alpha=-1.0),
        nn.Softplus(threshold=1),
        nn.Softplus(beta=2, threshold=5),
        nn.Hardshrink(1.0),
        nn.Threshold(0.1, 20),
        Apply(lambda x: x.clamp(torch.zeros(3, dtype=x.dtype), None)),
        Apply(lambda x: x.to(torch.int64).to(x.dtype)),
        Apply(lambda x: x.half().to(x.dtype)),
        Apply(lambda x: x.bfloat16().to(x.dtype)),
        Apply(torch.exp),
    ],
    ids=str,
)
def test_without_a_bound_of_the_slope_nothing_is_certified(inner: nn.Module) -> None:
    found = certificate(inner, 1e-3)
    assert found.upper is None and found.reason


class LipSwish(nn.Module):
    """As in invertible residual networks: x · sigmoid(x · softplus(β)) / 1.1."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return (x * torch.sigmoid_(x * F.softplus(self.beta))).div_(1.1)


@pytest.mark.parametrize(
    "inner",
    [
        LipSwish(),
        Apply(lambda x: x * x.sigmoid() / 1.1),
        Apply(lambda x: torch.sigmoid(1.702 * x) * x / 1.1),
        Apply(lambda x: x * torch.tanh(F.softplus(x)) / 1.1),
        nn.Sequential(nn.SiLU(), scaled(1 / 1.1)),
        Apply(torch.sin),
        nn.Hardtanh(),
        nn.LogSigmoid(),
        nn.Tanhshrink(),
        nn.Softshrink(),
        nn.Threshold(0.5, 0.5),
        nn.RReLU(),
        nn.Softplus(),
    ],
    ids=str,
)
def test_contractive_layers_with_known_slopes_are_certified(inner: nn.Module) -> None:
    found = certificate(inner, 0.99)
    assert found.holds
    unit = unit_of(inner, factor=0.99)
    x, y = torch.randn(2, 4096, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    with torch.no_grad():
        steepest = float(((unit.branch(x) - unit.branch(y)).norm(dim=1) / (x - y).norm(dim=1)).max())
    assert steepest <= found.upper


def test_what_code_spells_out_has_the_derivative_of_what_it_computes() -> None:
    for inner in (LipSwish(), Apply(lambda x: x * torch.tanh(F.softplus(x)))):
        unit = unit_of(inner)
        x = torch.randn(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        dense = torch.func.jacrev(unit.sum_map)(x).reshape(3, 3)
        basis = torch.eye(3, dtype=torch.float64)
        found = UnitJacobian(unit).at(x).apply(basis).mT
        torch.testing.assert_close(found, dense, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("after", "name", "injective"),
    [
        (nn.ELU(alpha=-5.0), "elu", False),
        (nn.CELU(alpha=-1.0), "celu", True),
        (nn.LeakyReLU(-0.1), "leaky_relu", False),
        (nn.PReLU(3), "prelu", True),
        (nn.Softplus(threshold=1), "softplus", False),
        (Apply(lambda x: x * x.sigmoid()), "swish", False),
        (Apply(lambda x: x * torch.tanh(F.softplus(x))), "mish", False),
        (Apply(lambda x: x * torch.tanh(torch.exp(x))), "mul", None),
        (nn.LogSigmoid(), "logsigmoid", True),
        (nn.RReLU(), "rrelu", True),
        (Apply(lambda x: x.clamp(torch.zeros(3, dtype=x.dtype), None)), "clamp", None),
    ],
    ids=str,
)
def test_only_injective_activations_hand_the_verdict_on(
    after: nn.Module, name: str, injective: bool | None
) -> None:
    unit = unit_of(nn.Tanh(), after)
    record = unit.activation_record
    assert record is not None
    assert (record.name, record.injective) == (name, injective)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(unit(x), after.double()(unit.sum_map(x)))
    rows = {"x": {"sign": Finding(1.0)}}
    total, whole = unit_verdicts(
        unit.name,
        activation=record,
        not_applicable=None,
        not_run=None,
        rows=rows,
        nonnegative={},
        continuity=CONTINUOUS,
    )
    assert total.state is State.NO_VIOLATION_FOUND
    assert whole.state is (State.NO_VIOLATION_FOUND if injective else State.UNDETERMINED)


@pytest.mark.parametrize(
    ("after", "display"),
    [
        (nn.ReLU6(), "Hardtanh"),
        (nn.Hardtanh(), "Hardtanh"),
        (nn.Threshold(0, 0), "Threshold"),
        (nn.Hardswish(), "Hardswish"),
    ],
    ids=str,
)
def test_whatever_clips_is_seen_to_clip(after: nn.Module, display: str) -> None:
    unit = unit_of(nn.Tanh(), after)
    record = unit.activation_record
    x = torch.tensor([[-9.0, 0.1, 9.0]], dtype=torch.float64)
    total, branch = unit.sum_map(x), unit.branch(x)
    found = activation_measures(x, branch, total, activation=record, preserves_dimension=True)
    flat = torch.autograd.functional.jacobian(after.double(), total).reshape(3, 3).diagonal() == 0
    assert found["clipped_fraction"].value == pytest.approx(float(flat.double().mean()))
    assert found["clipped_depth"].value > 0.1
    rows = {"x": {"sign": Finding(1.0), **found}}
    whole = unit_verdicts(
        unit.name,
        activation=record,
        not_applicable=None,
        not_run=None,
        rows=rows,
        nonnegative={},
        continuity=CONTINUOUS,
    )[1]
    assert whole.state is State.NOT_INJECTIVE_PROVEN
    assert f"The {display} after the addition" in whole.sentence


def test_a_jump_after_the_addition_proves_nothing_by_clipping() -> None:
    record = unit_of(nn.Tanh(), nn.Threshold(0.1, 20)).activation_record
    rows = {"x": {"sign": Finding(1.0), "clipped_depth": Finding(0.5)}}
    whole = unit_verdicts(
        "u",
        activation=record,
        not_applicable=None,
        not_run=None,
        rows=rows,
        nonnegative={},
        continuity=CONTINUOUS,
    )[1]
    assert whole.state is State.UNDETERMINED


def test_unknown_clipping_is_said_as_unknown() -> None:
    after = Apply(lambda x: x.clamp(torch.zeros(3, dtype=x.dtype), None))
    record = unit_of(nn.Tanh(), after).activation_record
    x = torch.ones(1, 3)
    found = activation_measures(x, x, x, activation=record, preserves_dimension=True)["clipped_fraction"]
    assert found.status is Status.NOT_APPLICABLE
    assert "not known" in (found.reason or "")


@pytest.mark.parametrize(
    ("shortcut", "kind"),
    [
        (lambda x: x.to(torch.int64).to(x.dtype), None),
        (lambda x: x.half().to(x.dtype), None),
        (lambda x: x.bfloat16().to(x.dtype), None),
        (lambda x: x.float().to(x.dtype), None),
        (lambda x: x.to(torch.complex128).real, None),
        (lambda x: x.to(x.dtype), "identity"),
        (lambda x: x.to("cpu").contiguous(), "identity"),
    ],
)
def test_a_cast_that_loses_digits_is_no_identity(shortcut: Any, kind: str | None) -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Sequential(scaled(0.5), nn.Tanh(), scaled(0.5))

        def forward(self, x: Tensor) -> Tensor:
            return shortcut(x) + self.branch(x)

    network = nn.Sequential(Cast()).double().eval()
    units = discover(network, torch.randn(2, 3, dtype=torch.float64)).units
    assert [unit.shortcut for unit in units] == ([] if kind is None else [kind])
