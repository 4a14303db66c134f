"""The weakest direction of J, against a dense decomposition and on matrices made to have a known one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures import singular_vector
from resnet_diffeo_probe.jacobian.measures.singular_vector import smallest_singular_vector

D = torch.float64


@pytest.fixture(params=["direct", "iterative"], autouse=True)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of computing on the same small matrices."""
    if request.param == "iterative":
        monkeypatch.setattr(singular_vector, "_DENSE", 0)


def test_the_direction_of_a_matrix_that_was_made_from_it(unit_of: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    # not symmetric, so that a left singular vector taken for a right one would not pass
    left, right = (torch.linalg.qr(torch.randn(9, 9, dtype=D, generator=generator))[0] for _ in range(2))
    sizes = torch.tensor([4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.01], dtype=D)
    J = left @ torch.diag(sizes) @ right.T
    jacobian = UnitJacobian(unit_of([(F.linear, (J - torch.eye(9, dtype=D), None), {})], (9,)))
    factorization = jacobian.at(torch.zeros(1, 9, dtype=D)).factorize(keep=True)
    vector, size = smallest_singular_vector(factorization)
    assert size == pytest.approx(0.01, rel=1e-6)
    assert abs(float(vector[0] @ right[:, -1])) == pytest.approx(1.0, abs=1e-9)


def test_a_unit_with_two_convolutions_against_the_dense_decomposition(unit_of: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(5)
    first, second = (0.4 * torch.randn(2, 2, 3, 3, dtype=D, generator=generator) for _ in range(2))
    unit = unit_of(
        [(torch.conv2d, (first, None, 1, 1), {}), (F.relu, (), {}), (torch.conv2d, (second, None, 1, 1), {})],
        (2, 5, 4),
    )
    x = torch.randn(1, 2, 5, 4, dtype=D, generator=generator)
    lin = UnitJacobian(unit).at(x)
    J = lin.apply(torch.eye(40, dtype=D).reshape(40, 2, 5, 4)).reshape(40, 40).T
    _, sizes, right = torch.linalg.svd(J)
    vector, size = smallest_singular_vector(lin.factorize(keep=True))
    assert vector.shape == x.shape
    assert float(torch.linalg.vector_norm(vector)) == pytest.approx(1.0)
    assert size == pytest.approx(float(sizes[-1]), rel=1e-5)
    assert abs(float(vector.flatten() @ right[-1])) == pytest.approx(1.0, abs=1e-5)
