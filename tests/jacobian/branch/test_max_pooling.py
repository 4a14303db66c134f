"""Max pooling inside branches, taken apart, against torch's own and against dense Jacobians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from resnet_diffeo_probe.jacobian.branch.max_pooling import max_pooling

D = torch.float64

POOLS: list[tuple[Callable[..., Tensor], tuple[int, ...], dict[str, Any]]] = [
    (torch.max_pool2d, (2, 5, 6), {"kernel_size": 3, "stride": 1, "padding": 1}),
    (torch.max_pool2d, (2, 5, 7), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 1)}),
    (torch.max_pool2d, (1, 7, 6), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    (torch.max_pool2d, (1, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    (F.max_pool2d, (3, 4, 4), {"kernel_size": 2}),
    (torch.max_pool1d, (2, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (torch.max_pool3d, (2, 3, 4, 5), {"kernel_size": 2, "stride": 1}),
]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("function", "shape", "options"), POOLS)
def test_spread_selection_and_sum_are_the_pooling(
    function: Callable[..., Tensor], shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    pooling = max_pooling(function, (), options, shape)
    assert pooling is not None
    x = normal(0, 1, *shape)
    derivative = pooling.selection.at(pooling.spread(x))
    torch.testing.assert_close(pooling.total.apply(derivative.output), function(x, **options))
    v = normal(1, 1, *shape)
    pushed = pooling.total.apply(derivative.local * pooling.windows.apply(v))
    jacobian = torch.autograd.functional.jacobian(lambda t: function(t, **options), x)
    expected = jacobian.reshape(pushed.numel(), -1) @ v.reshape(-1)
    torch.testing.assert_close(pushed.reshape(-1), expected)
    for operator in (pooling.windows, pooling.total):
        w = normal(2, 1, *operator.in_shape)
        flat = w.flatten(2).mT.reshape(-1)
        out = (operator.matrix().dense() @ flat).reshape(-1, operator.out_shape[0]).mT
        torch.testing.assert_close(out.reshape(operator.out_shape), operator.apply(w)[0])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), after_relu=st.booleans(), kernel=st.sampled_from([2, 3]))
def test_determinants_of_branches_with_max_pooling_are_those_of_dense(
    unit_of: Callable[..., Any], seed: int, after_relu: bool, kernel: int
) -> None:
    shape = (2, 4, 5)
    operations = [
        (torch.conv2d, (normal(seed, 3, 2, 3, 3), normal(seed + 1, 3), 1, 1), {}),
        (F.relu, (), {}) if after_relu else (torch.tanh, (), {}),
        (F.pad, ([1, 1, 1, 1],), {"mode": "replicate" if kernel == 2 else "reflect"}),
        (torch.max_pool2d, (kernel, 1, 0, 1, False), {}),
    ]
    if kernel == 2:  # one row and column too many
        operations.append((torch.conv2d, (normal(seed + 2, 2, 3, 2, 2),), {}))
    else:
        operations.append((torch.conv2d, (normal(seed + 2, 2, 3, 3, 3), None, 1, 1), {}))
    unit = unit_of(operations, shape)
    x = normal(seed + 3, *shape)
    jacobian = UnitJacobian(unit)
    assert jacobian.not_read is None, "taken apart, not by the dense way"
    sign, logabsdet = torch.linalg.slogdet(unit.jacobian(x))
    lin = jacobian.at(x)
    found = determinant(lin)
    # reflected and replicated pixels are seen twice in a window: equal, and moving together
    assume(found.sign.status in (Status.OK, Status.ON_KINK))
    assert found.sign.value == int(sign)
    assert found.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-9)
    v = normal(seed + 4, 2, *shape)
    torch.testing.assert_close(lin.apply(v).flatten(1), v.flatten(1) @ unit.jacobian(x).mT)


def test_a_tie_that_an_input_moves_is_a_kink_and_one_of_dead_units_is_not(
    unit_of: Callable[..., Any],
) -> None:
    shape = (1, 2, 4)
    pool = (torch.max_pool2d, ((1, 3), 1, (0, 1), 1, False), {})
    scale = (torch.mul, (0.5,), {})
    tied = unit_of([pool, scale], shape)
    assert determinant(UnitJacobian(tied).at(torch.ones(shape, dtype=D))).sign.status is Status.ON_KINK
    assert determinant(UnitJacobian(tied).at(normal(0, *shape))).sign.status is Status.OK
    dead = unit_of([(torch.sub, (1e3,), {}), (F.relu, (), {}), pool, scale], shape)
    assert determinant(UnitJacobian(dead).at(normal(0, *shape))).sign.status is Status.OK


def test_what_is_no_max_pooling_is_left_alone_and_indices_are_refused() -> None:
    assert max_pooling(F.avg_pool2d, (2,), {}, (1, 4, 4)) is None
    with pytest.raises(UnsupportedUnitError, match="indices"):
        max_pooling(F.max_pool2d, (2,), {"return_indices": True}, (1, 4, 4))
