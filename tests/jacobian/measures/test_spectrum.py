"""Extreme singular values, leftmost eigenvalues and the critical step, on matrices whose spectrum is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures import spectrum
from resnet_diffeo_probe.jacobian.measures.determinant import determinant
from resnet_diffeo_probe.jacobian.measures.measure import cross_checked, measure

D = torch.float64


@pytest.fixture(params=["direct", "iterative"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing on the same small matrices."""
    if request.param == "iterative":
        monkeypatch.setattr(spectrum, "_DENSE_SINGULAR", 0)
        monkeypatch.setattr(spectrum, "_DENSE_EIGEN", 0)
    return str(request.param)


def two_convolutions(
    unit_of: Callable[..., Any], weights: list[Tensor], bias: Tensor | None, shape: tuple[int, ...]
) -> Any:
    first, second = (
        (torch.conv2d, (weight, b, 1, 1), {}) for weight, b in zip(weights, (bias, None), strict=True)
    )
    return unit_of([first, (F.relu, (), {}), second], shape)


def linear_unit(unit_of: Callable[..., Any], J_F: Tensor) -> UnitJacobian:
    return UnitJacobian(unit_of([(F.linear, (J_F, None), {})], (J_F.shape[0],)))


def matrix_with_eigenvalues(real: list[float], pairs: list[complex], size: int) -> Tensor:
    """A non-normal matrix with these eigenvalues and others between 0.5 and 1."""
    rng = np.random.default_rng(7)
    blocks = np.diag(
        np.concatenate(
            [real, np.linspace(0.5, 1, size - len(real) - 2 * len(pairs)), np.zeros(2 * len(pairs))]
        )
    )
    for k, pair in enumerate(pairs):
        at = size - 2 * len(pairs) + 2 * k
        blocks[at : at + 2, at : at + 2] = [[pair.real, pair.imag], [-pair.imag, pair.real]]
    basis = np.eye(size) + 0.3 * rng.standard_normal((size, size)) / np.sqrt(size)
    return torch.from_numpy(basis @ blocks @ np.linalg.inv(basis))


def test_singular_values_of_a_known_matrix(unit_of: Callable[..., Any], method: str) -> None:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((40, 40)))[0] for _ in range(2))
    sigma = np.geomspace(1e-4, 7, 40)
    jacobian = linear_unit(unit_of, torch.from_numpy(left @ np.diag(sigma) @ right - np.eye(40)))
    lin = jacobian.at(torch.ones(40))
    smallest = spectrum.smallest_singular_value(lin, determinant(lin).factorization)
    largest = spectrum.largest_singular_value(lin)
    assert smallest.value == pytest.approx(1e-4, rel=1e-8)
    assert largest.value == pytest.approx(7, rel=1e-8)
    for found, exact in ((smallest, 1e-4), (largest, 7)):
        if found.error is not None:
            assert abs(found.value - exact) <= found.error + 1e-9 * exact


@pytest.mark.parametrize(
    ("real", "pairs", "below"),
    [
        ([-1.5], [], 1),
        ([-1.5, -1.2], [], 2),
        ([-0.4], [], 0),
        ([-1.147], [-1.329 + 0.063j], 1),  # complex pairs left of the leftmost real one, as in a real network
        ([-0.2], [-2 + 1j, -1.8 + 0.5j, -1.6 + 0.1j], 0),
    ],
)
def test_leftmost_real_eigenvalue_and_count(
    unit_of: Callable[..., Any], method: str, real: list[float], pairs: list[complex], below: int
) -> None:
    lin = linear_unit(unit_of, matrix_with_eigenvalues(real, pairs, 60)).at(torch.ones(60))
    found = spectrum.leftmost_real_eigenvalues(lin)
    assert found.leftmost.value == pytest.approx(min(real), rel=1e-7)
    assert found.critical_step.value == pytest.approx(-1 / min(real), rel=1e-7)
    assert found.below_minus_one.value == below
    assert determinant(lin).sign.value == (-1) ** below


def test_without_a_count_the_leftmost_eigenvalue_is_the_same_and_a_lower_bound_is_given(
    unit_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "_DENSE_EIGEN", 0)
    real = [-1.2 - 0.1 * k for k in range(10)]
    lin = linear_unit(unit_of, matrix_with_eigenvalues(real, [-1.9 + 0.4j], 120)).at(torch.ones(120))
    counted = spectrum.leftmost_real_eigenvalues(lin)
    assert counted.below_minus_one.value == 10
    found = spectrum.leftmost_real_eigenvalues(lin, counts=False)
    assert found.leftmost.value == pytest.approx(-2.1, rel=1e-7)
    assert found.critical_step.value == pytest.approx(1 / 2.1, rel=1e-7)
    assert (found.below_minus_one.value, found.below_minus_one.status) == (None, Status.NOT_CONVERGED)
    least = int(str(found.below_minus_one.reason).removeprefix("at least ").split(":")[0])
    assert 1 <= least < 10


def test_no_negative_real_eigenvalue_is_an_infinite_step(unit_of: Callable[..., Any], method: str) -> None:
    lin = linear_unit(unit_of, matrix_with_eigenvalues([], [-2 + 1j], 40)).at(torch.ones(40))
    found = spectrum.leftmost_real_eigenvalues(lin)
    assert (found.critical_step.value, found.critical_step.status) == (None, Status.INFINITE)
    assert found.leftmost.status is Status.NOT_APPLICABLE
    assert found.below_minus_one.value == 0


def test_the_eigenvalues_of_a_reduced_branch_are_those_of_the_dense_jacobian(
    unit_of: Callable[..., Any], method: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    conv = [torch.randn(4, 4, 3, 3, dtype=D, generator=generator) * 0.35 for _ in range(2)]
    unit = two_convolutions(unit_of, conv, None, (4, 5, 6))
    x = torch.randn(4, 5, 6, dtype=D, generator=generator)
    dense = unit.jacobian(x)
    eigenvalues = torch.linalg.eigvals(dense - torch.eye(120, dtype=D)).numpy()
    real = eigenvalues.real[np.abs(eigenvalues.imag) < 1e-10]
    sigma = torch.linalg.svdvals(dense)
    lin = UnitJacobian(unit).at(x)
    found = spectrum.leftmost_real_eigenvalues(lin)
    assert found.leftmost.value == pytest.approx(real.min(), rel=1e-7)
    assert found.below_minus_one.value == int((real < -1).sum())
    smallest = spectrum.smallest_singular_value(lin, determinant(lin).factorization)
    assert smallest.value == pytest.approx(float(sigma[-1]), rel=1e-7)
    assert spectrum.largest_singular_value(lin).value == pytest.approx(float(sigma[0]), rel=1e-7)


def test_a_branch_without_active_coordinates_has_no_eigenvalue(unit_of: Callable[..., Any]) -> None:
    weight = torch.randn(2, 2, 3, 3, dtype=D, generator=torch.Generator().manual_seed(1))
    bias = torch.full((2,), -50.0, dtype=D)
    unit = two_convolutions(unit_of, [weight, weight], bias, (2, 4, 4))
    lin = UnitJacobian(unit).at(torch.ones(2, 4, 4))
    found = spectrum.leftmost_real_eigenvalues(lin)
    assert found.critical_step.status is Status.INFINITE
    assert found.below_minus_one.value == 0
    assert spectrum.smallest_singular_value(lin, determinant(lin).factorization).value == 1.0


def test_a_singular_jacobian_has_smallest_singular_value_zero(unit_of: Callable[..., Any]) -> None:
    found = measure(linear_unit(unit_of, -torch.eye(3, dtype=D)), torch.ones(1, 3), ["sigma_min"])[
        "sigma_min"
    ]
    assert (found.value, found.status) == (0.0, Status.SINGULAR)


def test_without_pivots_a_large_jacobian_has_no_smallest_singular_value_and_a_small_one_has(
    unit_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    third = 1 / 3  # no whole multiple of a power of two that would do: nothing is proven
    lin = linear_unit(unit_of, torch.tensor([[-1.0, 0.0], [third, -1.0]], dtype=D)).at(torch.ones(2))
    assert determinant(lin).factorization is None
    assert spectrum.smallest_singular_value(lin, None).value == pytest.approx(0, abs=1e-15)
    monkeypatch.setattr(spectrum, "_DENSE_SINGULAR", 0)
    unknown = spectrum.smallest_singular_value(lin, None)
    assert (unknown.value, unknown.status) == (None, Status.UNDETERMINED)


def test_values_say_the_arithmetic_they_come_from(unit_of: Callable[..., Any], method: str) -> None:
    generator = torch.Generator().manual_seed(3)
    J_F = torch.randn(12, 12, generator=generator) / 4 - 0.5 * torch.eye(12)
    for dtype in (torch.float32, torch.float64):
        unit = unit_of([(F.linear, (J_F.to(dtype),), {})], (12,))
        lin = UnitJacobian(unit).at(torch.ones(12, dtype=dtype))
        eigenvalues = spectrum.leftmost_real_eigenvalues(lin)
        found = [
            spectrum.largest_singular_value(lin),
            spectrum.smallest_singular_value(lin, determinant(lin).factorization),
            eigenvalues.leftmost,
            eigenvalues.critical_step,
        ]
        names = {f.dtype for f in found if f.value is not None}
        assert names == {str(dtype).removeprefix("torch.")}
        # a residual of a matrix that is not normal is no error of an eigenvalue
        assert eigenvalues.leftmost.error is None
        assert eigenvalues.critical_step.error is None


def test_a_contradicted_sign_is_undetermined() -> None:
    sign = Finding(1, dtype="float64")
    assert cross_checked(sign, Finding(2)).value == 1
    contradicted = cross_checked(sign, Finding(3))
    assert (contradicted.value, contradicted.status) == (None, Status.UNDETERMINED)
    assert cross_checked(sign, Finding.missing(Status.NOT_CONVERGED, "no")).value == 1
