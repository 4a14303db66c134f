from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.finding import Evidence, Status
from resnet_diffeo_probe.jacobian import QUANTITIES, UnitJacobian, measure
from resnet_diffeo_probe.jacobian.estimators import LinearMap, work
from resnet_diffeo_probe.jacobian.measures import by_products, estimated
from resnet_diffeo_probe.jacobian.measures.measure import JACOBIAN_QUANTITIES, activation_measures

D = torch.float64


@pytest.fixture
def jacobian(unit_of: Callable[..., Any]) -> UnitJacobian:
    weight = torch.randn(3, 3, 3, 3, dtype=D, generator=torch.Generator().manual_seed(0)) * 0.3
    return UnitJacobian(unit_of([(torch.conv2d, (weight, None, 1, 1), {}), (F.relu, (), {})], (3, 5, 4)))


def linear_map(n: int) -> LinearMap:
    return LinearMap(n, n, lambda v: v, lambda v: v, 2e-16, torch.device("cpu"))


def x_of(jacobian: UnitJacobian) -> torch.Tensor:
    return torch.randn(1, *jacobian.shape, dtype=D, generator=torch.Generator().manual_seed(1))


def test_only_what_is_asked_for_is_measured_and_the_rest_agrees(jacobian: UnitJacobian) -> None:
    everything = measure(jacobian, x_of(jacobian), QUANTITIES)
    assert tuple(everything) == JACOBIAN_QUANTITIES
    series = everything["logabsdet_power_series"]  # diverges where an eigenvalue of J_F is large
    assert all(finding.status is Status.OK for finding in everything.values() if finding is not series)
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


@pytest.fixture
def all_active(unit_of: Callable[..., Any]) -> UnitJacobian:
    """A unit whose factors take ten times the memory that a few random vectors take."""
    weight = torch.randn(6, 6, 3, 3, dtype=D, generator=torch.Generator().manual_seed(2)) * 0.08
    return UnitJacobian(unit_of([(torch.conv2d, (weight, None, 1, 1), {}), (torch.tanh, (), {})], (6, 9, 8)))


SOME_MEMORY = 16 * 432 * 16 * 16  # bytes of 16 probes and 16 steps, fewer than those of the factors


@pytest.mark.parametrize("seed", range(4))
def test_an_estimate_takes_the_place_of_factors_that_do_not_fit(all_active: UnitJacobian, seed: int) -> None:
    x = torch.randn(1, 6, 9, 8, dtype=D, generator=torch.Generator().manual_seed(seed))
    assert all_active.at(x).factor_bytes(keep=False) > SOME_MEMORY
    exact = measure(all_active, x, ["sign", "logabsdet"])
    found = measure(all_active, x, JACOBIAN_QUANTITIES, max_bytes=SOME_MEMORY, seed=seed)
    magnitude = found["logabsdet"]
    assert magnitude.evidence is Evidence.ESTIMATED
    assert magnitude.seed == seed
    assert "GiB are allowed" in str(magnitude.reason)
    assert "--max-memory" in str(magnitude.reason)
    low, high = magnitude.interval or (0, 0)
    assert low < magnitude.value < high
    # one interval in twenty misses; how many do is tested below
    assert abs(exact["logabsdet"].value - magnitude.value) <= high - low
    for quantity in ("sign", "sign_margin", "sigma_min"):
        assert (found[quantity].value, found[quantity].status) == (None, Status.NOT_RUN)
    assert "no estimate gives the sign" in str(found["sign"].reason)
    # what needs no factors is as without a limit
    unlimited = measure(all_active, x, ["sigma_max", "leftmost_real_eigenvalue"], seed=seed)
    assert {q: found[q] for q in unlimited} == unlimited


def test_the_estimate_s_intervals_cover_through_measure(all_active: UnitJacobian) -> None:
    """95 % of 60 intervals are 57; 53 or more are seen with probability 98 % where they cover as they say."""
    covered = 0
    for case in range(60):
        x = torch.randn(1, 6, 9, 8, dtype=D, generator=torch.Generator().manual_seed(1000 + case))
        exact = measure(all_active, x, ["logabsdet"])["logabsdet"].value
        low, high = measure(all_active, x, ["logabsdet"], max_bytes=SOME_MEMORY, seed=case)[
            "logabsdet"
        ].interval or (0, 0)
        covered += low <= exact <= high
    assert covered >= 53


def test_an_estimate_that_would_take_too_long_is_not_made(
    all_active: UnitJacobian, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.zeros(1, 6, 9, 8, dtype=D)
    monkeypatch.setitem(by_products.measures_by_products.__kwdefaults__, "max_flops", 1e6)
    found = measure(all_active, x, ["logabsdet"], max_bytes=SOME_MEMORY)["logabsdet"]
    assert (found.value, found.status) == (None, Status.NOT_RUN)
    assert "operations" in str(found.reason)


@pytest.mark.parametrize(("bytes_", "flops", "probes", "steps"), [
    (1e12, 1e15, 16, 96),
    (8 * 2000 * 16 * 24, 1e15, 16, 24),  # memory gives up steps before probes
    (8 * 2000 * 5 * 8, 1e15, 5, 8),
    (1e12, 4e6 * 16 * 8 + 16 * 8 * 2000 * 16 * 8, 16, 8),
])  # fmt: skip
def test_steps_are_given_up_before_probes(bytes_: float, flops: float, probes: int, steps: int) -> None:
    J = linear_map(1000)
    assert work.affordable_effort(J, 1e6, max_bytes=bytes_, max_flops=flops) == work.EstimateWork(
        probes, steps
    )


def test_products_stop_when_enough_was_done() -> None:
    J = work.limited(linear_map(10), evaluation_flops=5.0, max_flops=100.0)
    J.apply(torch.ones(8, 10, dtype=D))
    J.apply_transpose(torch.ones(8, 10, dtype=D))
    with pytest.raises(work.EstimateTooLongError, match=r"given up after 1\.6e\+02 operations"):
        J.apply(torch.ones(1, 10, dtype=D))
    with pytest.raises(work.EstimateTooLongError, match="given up after -0 s"):
        work.limited(linear_map(10), seconds=-1e-3).apply(torch.ones(1, 10, dtype=D))


def test_operations_are_those_of_the_convolution() -> None:
    weight = torch.ones(4, 3, 3, 3, dtype=D)
    counted = work.flops_of(lambda v: torch.conv2d(v, weight, None, 1, 1), torch.ones(1, 3, 5, 6, dtype=D))
    assert counted == 2 * weight.numel() * 5 * 6


def test_a_branch_that_is_not_read_is_estimated_by_automatic_differentiation() -> None:
    weight = torch.randn(90, 90, dtype=D, generator=torch.Generator().manual_seed(0)) * 0.06

    def sum_map(x: torch.Tensor) -> torch.Tensor:
        return x + torch.sort(F.linear(x, weight), dim=-1)[0]

    x = torch.randn(1, 90, dtype=D, generator=torch.Generator().manual_seed(1))
    J = torch.autograd.functional.jacobian(lambda v: sum_map(v[None])[0], x[0])
    sigma = torch.linalg.svdvals(J)
    eigenvalues = torch.linalg.eigvals(J - torch.eye(90, dtype=D))
    real = eigenvalues.real[eigenvalues.imag.abs() < 1e-10]
    found = estimated.estimated_measures(sum_map, x, QUANTITIES, because="sort is not read")
    assert "sign" not in found
    for quantity, exact in (
        ("logabsdet", float(sigma.log().sum())),
        ("sigma_min", float(sigma[-1])),
        ("sigma_max", float(sigma[0])),
    ):
        low, high = found[quantity].interval or (0, 0)
        assert low <= exact <= high, quantity
        assert str(found[quantity].reason).startswith("sort is not read")
    assert found["leftmost_real_eigenvalue"].value == pytest.approx(float(real.min()), rel=1e-7)
    assert found["real_eigenvalues_below_minus_one"].value == int((real < -1).sum())


def test_samples_that_are_mixed_go_through_one_by_one() -> None:
    x = torch.ones(1, 5, dtype=D)
    assert estimated.batch_of(lambda v: v.tanh(), x) == 16
    assert estimated.batch_of(lambda v: v - v.mean(dim=0), x) == 1
    assert estimated.batch_of(lambda v: v.reshape(1, 5), x) == 1


def test_a_count_that_is_not_wanted_is_made_only_where_it_costs_nothing(jacobian: UnitJacobian) -> None:
    quantities = ["critical_step", "real_eigenvalues_below_minus_one"]
    assert measure(jacobian, x_of(jacobian), quantities, counts=False) == measure(
        jacobian, x_of(jacobian), quantities
    )


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
