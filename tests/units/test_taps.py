"""Hooks and captum see what the units see."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from resnet_diffeo_probe.models import CifarResNet
from resnet_diffeo_probe.units import discover

PLACES = ("input", "branch", "sum", "output")


@pytest.fixture
def resnet(randomized) -> nn.Module:
    return randomized(torchvision.models.resnet18(num_classes=10)).eval()


@pytest.mark.parametrize("options", [{}, {"preactivation": True}])
def test_run_and_hooks_agree_to_the_bit(randomized, options) -> None:
    model = randomized(CifarResNet((2, 2, 2), **options)).eval()
    x = torch.randn(3, 3, 16, 16)
    found = discover(model, x[:1])
    output, activations = found.run(x)
    recorded = found.record(x)
    assert torch.equal(output, model(x))
    assert torch.equal(found.with_taps()(x), output)
    assert list(recorded) == list(activations) == [unit.name for unit in found.units]
    for name, seen in activations.items():
        for place in PLACES:
            assert torch.equal(getattr(seen, place), getattr(recorded[name], place)), (name, place)


def test_activations_against_the_modules_own_arithmetic(resnet) -> None:
    """An oracle without the tape: the same block, written out by hand."""
    x = torch.randn(2, 3, 32, 32)
    found = discover(resnet, x)
    _, activations = found.run(x)
    with torch.no_grad():
        h = resnet.maxpool(torch.relu(resnet.bn1(resnet.conv1(x))))
        for unit in found.units:
            block = resnet.get_submodule(unit.name)
            f = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(h)))))
            s = h if block.downsample is None else block.downsample(h)
            seen = activations[unit.name]
            assert torch.equal(seen.input, h)
            assert torch.equal(seen.branch, f)
            assert torch.equal(seen.sum, f + s)
            h = torch.relu(f + s)
            assert torch.equal(seen.output, h)
            assert torch.equal(unit.branch(seen.input), f)


def test_activations_are_detached_copies(resnet) -> None:
    x = torch.randn(1, 3, 32, 32)
    found = discover(resnet, x)
    output, activations = found.run(x)
    for seen in activations.values():
        for place in PLACES:
            getattr(seen, place).zero_()
            assert not getattr(seen, place).requires_grad
    assert torch.equal(found.run(x)[0], output)


def test_captum_sees_the_units(resnet) -> None:
    from captum.attr import LayerActivation, LayerConductance

    x = torch.randn(2, 3, 32, 32)
    found = discover(resnet, x)
    tapped = found.with_taps()
    _, activations = found.run(x)
    for unit in (found.units[1], found.units[2]):
        for place in PLACES:
            layer = tapped.get_submodule(f"taps.{unit.tap_name}.{place}")
            values = LayerActivation(tapped, layer).attribute(x)
            assert torch.equal(values, getattr(activations[unit.name], place))
    # the unit's input dominates everything after it: its conductance is complete
    layer = tapped.get_submodule(f"taps.{found.units[3].tap_name}.input")
    conductance, delta = LayerConductance(tapped, layer).attribute(
        x, baselines=torch.zeros_like(x), target=1, n_steps=64, return_convergence_delta=True
    )
    with torch.no_grad():
        difference = resnet(x)[:, 1] - resnet(torch.zeros_like(x))[:, 1]
    assert conductance.shape[1:] == found.units[3].input_shape
    assert delta.abs().max() < 0.05 * difference.abs().max() + 1e-3
    assert all(p.grad is None for p in resnet.parameters())


def test_a_hook_on_a_tap_replaces_the_branch(resnet) -> None:
    """Switching a branch off by a hook leaves the shortcut: the taps are in the path, not beside it."""
    x = torch.randn(1, 3, 32, 32)
    found = discover(resnet, x)
    tapped = found.with_taps()
    tap = tapped.get_submodule(f"taps.{found.units[1].tap_name}.branch")
    tap.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    resnet.layer1[1].bn2.weight.data.zero_()
    resnet.layer1[1].bn2.bias.data.zero_()
    torch.testing.assert_close(tapped(x), resnet(x))


def test_shared_module_has_distinct_taps(written, branch, x) -> None:
    block = written(lambda m, x: x + 0.1 * m.f(x), f=branch())

    def forward(m, x):
        for _ in range(20):
            x = m.block(x)
        return x

    model = written(forward, block=block)
    found = discover(model, x)
    recorded = found.record(x)
    assert len(recorded) == 20
    y = x
    for seen in recorded.values():
        assert torch.equal(seen.input, y)
        y = block(y)
        assert torch.equal(seen.output, y)


@pytest.mark.parametrize("alpha", [0.3, -2.0])
def test_rewritten_sums_differ_by_rounding_only(written, branch, x, alpha: float) -> None:
    model = written(lambda m, x: torch.add(x, m.f(x), alpha=alpha).relu(), f=branch())
    found = discover(model, x)
    torch.testing.assert_close(found.with_taps()(x), model(x))
    output, activations = found.run(x)
    assert torch.equal(output, model(x))
    torch.testing.assert_close(activations["f"].branch, alpha * model.f(x))


def test_several_units_read_the_same_input(written, branch, x) -> None:
    model = written(lambda m, x: torch.cat([x + m.f(x), x - m.g(x)], 1), f=branch(), g=branch())
    found = discover(model, x)
    assert torch.equal(found.with_taps()(x), model(x))
    recorded = found.record(x)
    assert torch.equal(recorded["f"].input, x)
    assert torch.equal(recorded["g"].input, x)
