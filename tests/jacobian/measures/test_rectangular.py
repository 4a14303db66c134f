"""Rank, half log-determinant and extreme singular values of rectangular Jacobians, exact and by products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_diffeo_probe.finding import Evidence, Status
from resnet_diffeo_probe.jacobian.linearized.dense import dense_jacobian
from resnet_diffeo_probe.jacobian.measures.rectangular import (
    RECTANGULAR_QUANTITIES,
    findings_of_matrix,
    rectangular_measures,
)
from resnet_diffeo_probe.units import discover

D = torch.float64


def strided(
    shape: tuple[int, int], generator: torch.Generator, stride: int = 2
) -> Callable[[Tensor], Tensor]:
    """A unit that changes the dimension: branch with an activation, projection beside it."""
    inner, outer = shape
    first, second, projection = (
        torch.randn(*size, dtype=D, generator=generator) * 0.4
        for size in ((outer, inner, 3, 3), (outer, outer, 3, 3), (outer, inner, 1, 1))
    )

    def sum_map(x: Tensor) -> Tensor:
        branch = F.conv2d(F.leaky_relu(F.conv2d(x, first, stride=stride, padding=1), 0.2), second, padding=1)
        return branch + F.conv2d(x, projection, stride=stride)

    return sum_map


# fewer outputs than inputs, as many with odd sizes, more
@pytest.mark.parametrize(("channels", "stride"), [((3, 6), 2), ((2, 8), 2), ((2, 3), 1)])
def test_the_whole_matrix_agrees_with_the_dense_jacobian(channels: tuple[int, int], stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    function = strided(channels, generator, stride)
    x = torch.randn(1, channels[0], 6, 5, dtype=D, generator=generator)
    jacobian = dense_jacobian(function, x)
    sigma = torch.linalg.svdvals(jacobian)
    found = rectangular_measures(function, x, batch=7)
    assert tuple(found) == RECTANGULAR_QUANTITIES
    assert {f.status for f in found.values()} == {Status.OK}
    assert {f.evidence for f in found.values()} == {Evidence.EXACT}
    assert found["rank"].value == min(jacobian.shape) == int(torch.linalg.matrix_rank(jacobian))
    assert found["half_logdet"].value == pytest.approx(float(sigma.log().sum()), rel=1e-11)
    small = jacobian @ jacobian.mT if jacobian.shape[0] < jacobian.shape[1] else jacobian.mT @ jacobian
    assert found["half_logdet"].value == pytest.approx(float(torch.logdet(small)) / 2, rel=1e-7)
    assert found["sigma_min"].value == pytest.approx(float(sigma[-1]), rel=1e-10)
    assert found["sigma_max"].value == pytest.approx(float(sigma[0]), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_products_bracket_what_the_whole_matrix_says(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    function = strided((3, 6), generator)
    x = torch.randn(1, 3, 8, 6, dtype=D, generator=generator)
    exact = rectangular_measures(function, x)
    found = rectangular_measures(function, x, max_dense=10, seed=seed)
    assert tuple(found) == RECTANGULAR_QUANTITIES
    assert {f.evidence for f in found.values()} <= {Evidence.ESTIMATED, Evidence.FAILED}
    assert found["rank"].value in {None, exact["rank"].value}
    for quantity in ("half_logdet", "sigma_min", "sigma_max"):
        low, high = found[quantity].interval
        assert low <= exact[quantity].value <= high, quantity
        assert found[quantity].seed == seed
    assert found["sigma_max"].value == pytest.approx(exact["sigma_max"].value, rel=1e-6)


def test_products_of_a_large_regular_matrix_are_resolved() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(400, 300, dtype=D, generator=generator) / 20 + torch.eye(400, 300, dtype=D)
    sigma = torch.linalg.svdvals(weight)
    x = torch.zeros(1, 300, dtype=D)
    found = rectangular_measures(lambda v: F.linear(v, weight), x, max_dense=10)
    assert {f.status for f in found.values()} == {Status.OK}
    assert found["rank"].value == 300
    for quantity, exact in (
        ("sigma_min", sigma[-1]),
        ("sigma_max", sigma[0]),
        ("half_logdet", sigma.log().sum()),
    ):
        low, high = found[quantity].interval
        assert low <= float(exact) <= high


def test_products_do_not_claim_what_they_cannot_see() -> None:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, 300)))[0] for size in (400, 300))
    weight = torch.from_numpy(left @ np.diag(np.geomspace(1e-7, 1, 300)) @ right)
    found = rectangular_measures(lambda v: F.linear(v, weight), torch.zeros(1, 300, dtype=D), max_dense=10)
    assert (found["rank"].value, found["rank"].status) == (None, Status.NOT_CONVERGED)
    assert found["sigma_min"].status is Status.NOT_CONVERGED
    assert found["sigma_min"].interval[0] <= 1e-7 <= found["sigma_min"].interval[1]
    low, high = found["half_logdet"].interval
    assert low <= float(np.log(np.geomspace(1e-7, 1, 300)).sum()) <= high
    assert found["half_logdet"].status is Status.UNDETERMINED
    assert "minus infinity" in str(found["half_logdet"].reason)


def test_products_give_no_logdet_of_a_matrix_with_dead_outputs() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(200, 300, dtype=D, generator=generator)
    weight[17] = 0
    x = torch.zeros(1, 300, dtype=D)
    assert rectangular_measures(lambda v: F.linear(v, weight), x)["half_logdet"].status is Status.SINGULAR
    found = rectangular_measures(lambda v: F.linear(v, weight), x, max_dense=10)
    assert found["half_logdet"].status in {Status.UNDETERMINED, Status.SINGULAR}
    assert found["rank"].value is None


def test_dead_outputs_lower_the_rank() -> None:
    weight = torch.randn(5, 8, dtype=D, generator=torch.Generator().manual_seed(1))
    bias = torch.tensor([0, 0, -1e3, 0, -1e3], dtype=D)
    x = torch.linalg.lstsq(weight, torch.ones(5, 1, dtype=D)).solution.T

    found = rectangular_measures(lambda v: F.relu(F.linear(v, weight, bias)), x)
    assert found["rank"].value == 3
    assert found["half_logdet"].status is Status.SINGULAR
    assert found["sigma_min"].value == pytest.approx(0, abs=1e-12)


def test_a_rank_within_rounding_error_is_undetermined() -> None:
    sigma = torch.tensor([1.0, 0.5, 2e-15, 0], dtype=D)
    found = findings_of_matrix(torch.diag(sigma), eps=float(np.finfo(np.float64).eps))
    assert found["rank"].status is Status.UNDETERMINED
    assert found["rank"].interval == (2, 3)
    wide = findings_of_matrix(torch.eye(4, dtype=D)[:, :2], eps=float(np.finfo(np.float64).eps))
    assert (wide["rank"].value, wide["sigma_min"].value) == (2, 0.0)
    assert wide["half_logdet"].status is Status.SINGULAR
    assert "4 columns and 2 rows" in str(wide["half_logdet"].reason)


def test_a_constant_function_has_rank_zero() -> None:
    found = rectangular_measures(lambda v: F.relu(v[:, :2] - 100), torch.ones(1, 4, dtype=D))
    assert (found["rank"].value, found["sigma_max"].value) == (0, 0.0)
    products = rectangular_measures(lambda v: F.relu(v[:, :2] - 100), torch.ones(1, 4, dtype=D), max_dense=1)
    assert products["sigma_max"].value == 0.0
    assert products["half_logdet"].status is Status.UNDETERMINED


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_errors(bad: float) -> None:
    found = rectangular_measures(lambda v: v[:, :1], torch.tensor([[1.0, bad]], dtype=D))
    assert {(f.value, f.status) for f in found.values()} == {(None, Status.ERROR)}
    found = rectangular_measures(lambda v: v[:, :1] * bad, torch.ones(1, 2, dtype=D))
    assert {(f.value, f.status) for f in found.values()} == {(None, Status.ERROR)}


def test_single_precision_is_said_and_has_its_own_tolerance() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 9, generator=generator)
    found = rectangular_measures(lambda v: F.linear(v, weight), torch.ones(1, 9))
    assert {f.dtype for f in found.values()} == {"float32"}
    exact = torch.linalg.svdvals(weight.double())
    for quantity, value in (("sigma_min", exact[-1]), ("sigma_max", exact[0])):
        assert abs(found[quantity].value - float(value)) <= found[quantity].error


def test_a_unit_of_a_network() -> None:
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
            self.side = nn.Conv2d(2, 4, 1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.second(F.elu(self.first(x))) + self.side(x))

    x = torch.randn(1, 2, 6, 6)
    (unit,) = discover(Network(), x).to(dtype=D).units
    assert not unit.preserves_dimension
    found = rectangular_measures(unit.sum_map, x.double(), batch=4)
    sigma = torch.linalg.svdvals(dense_jacobian(unit.sum_map, x.double()))
    assert found["half_logdet"].value == pytest.approx(float(sigma.log().sum()), rel=1e-9)
