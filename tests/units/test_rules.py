"""Every rule on a network written for it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_diffeo_probe.units import discover


def _conv(channels: int = 4, out: int | None = None, **options: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out or channels, 3, padding=1, **options)


def _only(found):
    assert len(found.units) == 1, [(unit.name, unit.shortcut) for unit in found.units]
    return found.units[0]


# ---- what a unit is -------------------------------------------------------------------------------------------------


def test_subtraction_puts_its_sign_into_the_branch(written, branch, x) -> None:
    model = written(lambda m, x: x - m.f(x), f=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    assert torch.equal(unit.branch(x), -model.f(x))
    assert torch.equal(unit.sum_map(x), model(x))


def test_alpha_goes_into_the_branch(written, branch, x) -> None:
    model = written(lambda m, x: torch.add(x, m.f(x), alpha=0.3), f=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    torch.testing.assert_close(unit.branch(x), 0.3 * model.f(x))
    torch.testing.assert_close(unit.sum_map(x), model(x))


def test_scaled_branch(written, branch, x) -> None:
    model = written(lambda m, x: 0.1 * m.f(x) + x, f=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    assert torch.equal(unit.branch(x), 0.1 * model.f(x))


@pytest.mark.parametrize("factor", [0.5, -1.0])
def test_scaled_shortcut_is_not_the_identity(written, branch, x, factor: float) -> None:
    model = written(lambda m, x: factor * x + m.f(x), f=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "projection"
    assert not unit.preserves_dimension
    assert torch.equal(unit.shortcut_map(x), factor * x)


def test_negated_input_is_not_the_identity(written, branch, x) -> None:
    unit = _only(discover(written(lambda m, x: m.f(x) - x, f=branch()), x))
    assert unit.shortcut == "projection"
    assert torch.equal(unit.shortcut_map(x), -x)


def test_two_branches_are_one(written, branch, x) -> None:
    model = written(lambda m, x: (x - m.f(x)) + m.g(x), f=branch(), g=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    torch.testing.assert_close(unit.branch(x), model.g(x) - model.f(x))


def test_inner_sum_with_another_reader_stands_for_itself(written, branch, x) -> None:
    def forward(m, x):
        y = x + m.f(x)
        return y + m.g(y)

    found = discover(written(forward, f=branch(), g=branch()), x)
    assert [unit.name for unit in found.units] == ["f", "g"]


def test_inner_sum_that_is_also_an_output_is_not_taken_in(written, branch, x) -> None:
    def forward(m, x):
        y = x + m.f(x)
        return torch.cat([y, y + m.g(x)], 1)

    found = discover(written(forward, f=branch(), g=branch()), x)
    assert [unit.name for unit in found.units] == ["f"]
    assert any("skips over" in miss.reason for miss in found.rejected)


def test_python_sum_starts_with_zero(written, branch, x) -> None:
    model = written(lambda m, x: sum([x, m.f(x)]), f=branch())
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    assert torch.equal(unit.shortcut_map(x), x)


def test_branch_with_constants_of_the_network(written, branch, x) -> None:
    model = written(lambda m, x: x + m.f(x) * m.scale + m.shift, f=branch())
    model.scale = nn.Parameter(torch.randn(4, 1, 1))
    model.register_buffer("shift", torch.randn(2, 4, 6, 8)[:1])
    unit = _only(discover(model, x))
    assert unit.shortcut == "identity"
    # the constant stays outside: g is the sum of the two terms that depend on x
    torch.testing.assert_close(unit.branch(x), model.f(x) * model.scale)


@pytest.mark.parametrize(
    ("shortcut", "kind"),
    [
        (lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)), "padding"),
        (lambda x: torch.cat([F.avg_pool2d(x, 2), torch.zeros(x.shape[0], 4, 3, 4)], 1), "padding"),
        (lambda x: torch.cat([F.avg_pool2d(x, 2), F.avg_pool2d(x, 2).mul(0)], 1), "padding"),
    ],
)
def test_shortcuts_that_widen(written, branch, x, shortcut, kind: str) -> None:
    model = written(lambda m, x: F.relu(m.f(x) + shortcut(x)), f=branch(4, 8, stride=2))
    unit = _only(discover(model, x))
    assert (unit.shortcut, unit.activation) == (kind, "relu")
    assert (unit.input_shape, unit.output_shape) == ((4, 6, 8), (8, 3, 4))
    assert not unit.preserves_dimension
    assert torch.equal(unit.shortcut_map(x), shortcut(x))
    assert torch.equal(unit(x), model(x))


def test_pooling_shortcut(written, branch, x) -> None:
    model = written(lambda m, x: m.f(x) + F.max_pool2d(x, 1, 2), f=branch(4, 4, stride=2))
    assert _only(discover(model, x)).shortcut == "pooling"


def test_the_heavier_path_is_the_branch(written, branch, x) -> None:
    model = written(lambda m, x: m.short(x) + m.f(x), f=branch(), short=nn.Conv2d(4, 4, 1))
    unit = _only(discover(model, x))
    assert unit.shortcut == "projection"
    assert torch.equal(unit.shortcut_map(x), model.short(x))


# ---- activations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activate", "name"),
    [
        (F.relu, "relu"),
        (torch.relu_, "relu"),
        (lambda y: F.leaky_relu(y, 0.2), "leaky_relu"),
        (torch.tanh, "tanh"),
        (lambda y: y.clamp_(min=0), "clamp"),
    ],
)
def test_activation_after_the_addition(written, branch, x, activate, name: str) -> None:
    model = written(lambda m, x: activate(x + m.f(x)) * 2, f=branch())
    unit = _only(discover(model, x))
    assert unit.activation == name
    assert torch.equal(2 * unit(x), model(x))


def test_preactivation_networks_have_none(written, branch, x) -> None:
    def forward(m, x):
        x = x + m.f(F.relu(x))
        x = x + m.g(F.relu(x))
        return F.relu(x)

    found = discover(written(forward, f=branch(), g=branch()), x)
    assert [unit.activation for unit in found.units] == [None, None]


# ---- what a unit is not ---------------------------------------------------------------------------------------------


def _split(m, x):
    a, b = m.f(x).chunk(2, 1)
    return m.e(a) + b


REJECTED = {
    "torch.cat": (lambda m, x: torch.cat([x, m.f(x)], 1), "torch.cat, not an addition"),
    "addcmul": (lambda m, x: torch.addcmul(x, m.f(x), m.g(x)), "torch.addcmul"),
    "lerp": (lambda m, x: torch.lerp(x, m.f(x), 0.3), "torch.lerp"),
    "stack": (lambda m, x: torch.stack([x, m.f(x)]).sum(0), "torch.stack"),
    "broadcast": (lambda m, x: x + m.f(x).mean((2, 3), keepdim=True), "different shapes"),
    "no weights": (lambda m, x: x + x * torch.sigmoid(x), "no convolution or linear"),
    "doubling": (lambda m, x: x + x, "no convolution or linear"),
    "linear paths": (lambda m, x: m.c(x) + m.d(x), "single layers without activation"),
    "gate": (lambda m, x: m.f(x) + torch.sigmoid(x), "not a shortcut: it holds sigmoid"),
    "deep shortcut": (lambda m, x: m.c(m.d(x)) + m.f(m.f(x)), "2 layers with weights"),
    "upsampled": (
        lambda m, x: m.f(x) + F.interpolate(m.c(F.avg_pool2d(x, 2)), scale_factor=2),
        "upsampled",
    ),
    "split": (_split, "split tensor"),
    "slice": (lambda m, x: m.e(x[:, :2]) + x[:, 2:], "split tensor"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_refused_with_the_reason(written, branch, x, case: str) -> None:
    forward, reason = REJECTED[case]
    parts = {"f": branch(), "g": branch(), "c": _conv(), "d": _conv(), "e": branch(2)}
    found = discover(written(forward, **parts), x)
    assert found.units == ()
    assert any(reason in miss.reason for miss in found.rejected), found.rejected
    assert reason in found.explain_none()


def test_long_skip_is_refused_and_its_inside_kept(written, branch, x) -> None:
    def forward(m, x):
        y = x + m.f(x)
        y = y + m.g(y)
        return m.c(y) + x

    found = discover(written(forward, f=branch(), g=branch(), c=_conv()), x)
    assert [unit.name for unit in found.units] == ["f", "g"]
    assert "skips over" in found.rejected[0].reason


def test_the_branch_is_a_function_of_the_units_input_alone(written, branch, x) -> None:
    """A nearest common *ancestor* would choose h, on which f's second operand does not depend alone."""

    def forward(m, x):
        h = m.c(x)
        return h + m.f(h * x)

    found = discover(written(forward, f=branch(), c=_conv()), x)
    assert found.units == ()
    assert ["overlap" in miss.reason for miss in found.rejected] == [True]


def test_a_parameter_is_no_operand(written, x) -> None:
    model = written(lambda m, x: m.c(x) + m.bias, c=_conv())
    model.bias = nn.Parameter(torch.randn(1, 4, 6, 8))
    found = discover(model, x)
    assert (found.units, found.rejected) == ((), ())
    assert "adds no two tensors" in found.explain_none()


def test_batch_statistics_are_refused(written, x) -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    found = discover(written(lambda m, x: x + m.c(m.n(x)), c=_conv(), n=norm), x)
    assert found.units == ()
    assert "samples depend on each other" in found.rejected[0].reason
