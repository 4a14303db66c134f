"""Products with a unit as estimators take them, against its dense Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.jacobian.estimators import (
    branch_map,
    function_map,
    half_logdet_by_lanczos,
    linearized_map,
)
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from tests.jacobian.estimators.known_matrices import (
    D,
    covered,
)


def test_products_of_a_unit_are_those_of_its_dense_jacobian(unit_of: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 3, 3, 3, dtype=D, generator=generator) * 0.3 for _ in "12"]
    unit = unit_of(
        [
            (torch.conv2d, (weights[0], None, 1, 1), {}),
            (F.relu, (), {}),
            (torch.conv2d, (weights[1], None, 1, 1), {}),
        ],
        (3, 4, 6),
    )
    x = torch.randn(3, 4, 6, dtype=D, generator=generator)
    dense = unit.jacobian(x)
    lin = UnitJacobian(unit).at(x)
    eye = torch.eye(72, dtype=D)
    for J in (linearized_map(lin), function_map(unit.sum_map, x[None], batch=5)):
        torch.testing.assert_close(J.apply(eye).mT, dense)
        torch.testing.assert_close(J.apply_transpose(eye), dense)
    torch.testing.assert_close(branch_map(lin).apply(eye).mT, dense - eye)
    torch.testing.assert_close(branch_map(lin).power(3).apply(eye).mT, torch.matrix_power(dense - eye, 3))
    assert covered(half_logdet_by_lanczos(linearized_map(lin)), float(torch.linalg.slogdet(dense)[1]))


def test_a_constant_function_has_the_zero_jacobian() -> None:
    J = function_map(lambda x: torch.relu(x - 100) * 0 + 1, torch.ones(1, 4, dtype=D))
    assert not J.apply(torch.eye(4, dtype=D)).any()
    assert not J.apply_transpose(torch.eye(4, dtype=D)).any()


@pytest.mark.parametrize("seed", range(5))
def test_single_precision_products_widen_the_interval(unit_of: Callable[..., Any], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(3, 3, 3, 3, generator=generator) * 0.3 for _ in "12"]
    operations = [
        (torch.conv2d, (weights[0], None, 1, 1), {}),
        (F.relu, (), {}),
        (torch.conv2d, (weights[1], None, 1, 1), {}),
    ]
    x = torch.randn(3, 6, 5, generator=generator)
    unit = unit_of(operations, (3, 6, 5))
    found = half_logdet_by_lanczos(linearized_map(UnitJacobian(unit).at(x)), probes=90, seed=seed)
    exact = float(torch.linalg.slogdet(unit.jacobian(x).double())[1])
    assert found.dtype == "float32"
    assert covered(found, exact)
