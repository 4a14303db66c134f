from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.jacobian.branch.activations import activation

POINTWISE: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "relu": (F.relu, (), {"inplace": False}),
    "leaky_relu": (F.leaky_relu, (0.2,), {}),
    "prelu": (torch.prelu, (torch.tensor([0.1, -0.3, 2.0], dtype=torch.float64),), {}),
    "relu6": (F.relu6, (), {}),
    "hardtanh": (F.hardtanh, (-2.0, 0.5), {}),
    "clamp": (torch.clamp, (), {"min": 0.0, "max": 6.0}),
    "hardswish": (F.hardswish, (), {}),
    "elu": (F.elu, (1.3,), {}),
    "gelu": (F.gelu, (), {"approximate": "tanh"}),
    "silu": (F.silu, (), {}),
    "tanh": (torch.tanh, (), {}),
    "sigmoid": (torch.sigmoid, (), {}),
    "softplus": (F.softplus, (), {"beta": 2.0}),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_derivative_is_that_of_central_differences(name: str) -> None:
    target, args, kwargs = POINTWISE[name]
    act = activation(target, args, kwargs)
    assert act is not None
    z = torch.randn(1, 3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4
    step = 1e-6
    away = torch.ones_like(z, dtype=torch.bool)
    for kink in act.kinks:
        away &= (z - kink).abs() > 1e-3
    difference = (target(z + step, *args, **kwargs) - target(z - step, *args, **kwargs)) / (2 * step)
    torch.testing.assert_close(act.derivative(z)[away], difference[away], rtol=1e-5, atol=1e-8)
    assert bool(away.any())


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "prelu", "relu6", "hardtanh", "clamp", "hardswish"])
def test_kinks_are_where_the_derivative_jumps(name: str) -> None:
    target, args, kwargs = POINTWISE[name]
    act = activation(target, args, kwargs)
    assert act is not None and act.kinks
    for kink in act.kinks:
        sides = torch.tensor([kink - 1e-7, kink + 1e-7], dtype=torch.float64).expand(1, 3, 2).contiguous()
        left, right = act.derivative(sides)[0, 1]
        assert abs(left - right) > 0.1
        at = torch.full((1, 3, 1), kink, dtype=torch.float64)
        assert bool(act.on_kink(at).all())
        assert not bool(act.on_kink(at + 1e-6).any())


def test_what_mixes_coordinates_is_no_activation() -> None:
    assert activation(F.softmax, (1,), {}) is None
    assert activation(torch.conv2d, (torch.ones(1, 1, 1, 1),), {}) is None
