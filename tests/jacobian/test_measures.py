from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian import QUANTITIES, UnitJacobian, measure
from resnet_diffeo_probe.jacobian.measures import JACOBIAN_QUANTITIES, activation_measures

D = torch.float64


@pytest.fixture
def jacobian(unit_of: Callable[..., Any]) -> UnitJacobian:
    weight = torch.randn(3, 3, 3, 3, dtype=D, generator=torch.Generator().manual_seed(0)) * 0.3
    return UnitJacobian(unit_of([(torch.conv2d, (weight, None, 1, 1), {}), (F.relu, (), {})], (3, 5, 4)))


def x_of(jacobian: UnitJacobian) -> torch.Tensor:
    return torch.randn(1, *jacobian.shape, dtype=D, generator=torch.Generator().manual_seed(1))


def test_only_what_is_asked_for_is_measured_and_the_rest_agrees(jacobian: UnitJacobian) -> None:
    everything = measure(jacobian, x_of(jacobian), QUANTITIES)
    assert tuple(everything) == JACOBIAN_QUANTITIES
    assert all(finding.status is Status.OK for finding in everything.values())
    for quantity in JACOBIAN_QUANTITIES:
        alone = measure(jacobian, x_of(jacobian), [quantity])
        if quantity == "sign_margin":  # how large rounding was depends on whether the factors were kept
            assert alone[quantity].value == pytest.approx(everything[quantity].value, rel=10, abs=1e-12)
        elif quantity == "logabsdet":
            assert alone[quantity].value == pytest.approx(everything[quantity].value, rel=1e-13)
        else:
            assert alone == {quantity: everything[quantity]}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_errors_with_a_reason(jacobian: UnitJacobian, bad: float) -> None:
    x = x_of(jacobian)
    x[0, 1, 2, 3] = bad
    for finding in measure(jacobian, x, QUANTITIES).values():
        assert (finding.value, finding.status) == (None, Status.ERROR)
        assert finding.reason and "NaN" in finding.reason


def test_memory_that_is_not_allowed_is_not_taken(jacobian: UnitJacobian) -> None:
    found = measure(jacobian, x_of(jacobian), QUANTITIES, max_bytes=100)
    for quantity in ("sign", "logabsdet", "sign_margin", "sigma_min"):
        assert found[quantity].status is Status.NOT_RUN
        assert "GiB" in str(found[quantity].reason)
    assert found["sigma_max"].status is Status.OK  # needs no factors


def test_residual_ratio_and_clipping_by_hand() -> None:
    x, branch = torch.tensor([[3.0, 4.0]], dtype=D), torch.tensor([[0.0, -5.0]], dtype=D)
    found = activation_measures(x, branch, x + branch, activation="relu", preserves_dimension=True)
    assert found["residual_ratio"].value == 1.0
    assert found["clipped_fraction"].value == 0.5
    assert found["clipped_depth"].value == pytest.approx(1 / 3)
    none = activation_measures(x, branch, x + branch, activation=None, preserves_dimension=True)
    assert none["clipped_fraction"].status is Status.NOT_APPLICABLE
    zero = activation_measures(0 * x, branch, branch, activation="relu", preserves_dimension=True)
    assert zero["residual_ratio"].status is Status.INFINITE
    changing = activation_measures(x, branch[:, :1], x[:, :1], activation="relu", preserves_dimension=False)
    assert changing["residual_ratio"].status is Status.NOT_APPLICABLE
