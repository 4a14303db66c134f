"""Error bounds of inverses where the forward pass loses digits on the way: by large constants, by means of norms."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.error_bound import residual_rounding
from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error
from resnet_diffeo_probe.bijectivity.inverse.inverse import invert
from resnet_diffeo_probe.jacobian import UnitJacobian
from tests.bijectivity.conftest import unit_of

CASES = settings(max_examples=200, deadline=None)
BOUNDED: list[bool] = []


def shifted(n: int, big: float) -> Any:
    """x + relu((x + B) − B): 2x where x is positive, x elsewhere."""
    eye = torch.eye(n, dtype=torch.float64)
    b = torch.full((n,), big, dtype=torch.float64)
    return unit_of([(F.linear, (eye, b)), (F.linear, (eye.clone(), -b)), (F.relu, ())], (n,))


def normalized(n: int, mean: float) -> Any:
    """x + relu(½ (x − μ) + ½ μ): a batch norm with a large mean; 1.5 x where x is positive."""
    size = torch.ones(n, dtype=torch.float64)
    return unit_of(
        [
            (F.batch_norm, (mean * size, 0.25 * size, 0.25 * size, 0.5 * mean * size, False, 0.1, 0.0)),
            (F.relu, ()),
        ],
        (n,),
    )


def true_error(x: Tensor, y: Tensor, slope: Fraction) -> float:
    """How far x is from the preimage of y, without rounding."""
    total = Fraction(0)
    for a, b in zip(x[0].tolist(), y[0].tolist(), strict=True):
        preimage = Fraction(b) / slope if b > 0 else Fraction(b)
        total += (Fraction(a) - preimage) ** 2
    return float(total) ** 0.5


@CASES
@given(
    n=st.integers(1, 4),
    exponent=st.floats(0, 10),
    norms=st.booleans(),
    seed=st.integers(0, 999),
)
def test_no_stated_error_is_below_the_true_one(n: int, exponent: float, norms: bool, seed: int) -> None:
    unit = normalized(n, 10.0**exponent) if norms else shifted(n, 10.0**exponent)
    generator = torch.Generator().manual_seed(seed)
    y = unit.sum_map(torch.randn(1, n, generator=generator, dtype=torch.float64))
    found = invert(UnitJacobian(unit), y)
    BOUNDED.append(found.error.value is not None)
    if found.error.value is not None:
        assert true_error(found.x, y, Fraction(3, 2) if norms else Fraction(2)) <= found.error.value


def test_most_of_them_had_a_bound() -> None:
    assert sum(BOUNDED) > 0.8 * len(BOUNDED) > 100


@pytest.mark.parametrize(("unit", "slope"), [(shifted(3, 1e6), 2), (normalized(3, 1e4), Fraction(3, 2))])
def test_the_examples_of_the_issue(unit: Any, slope: Fraction) -> None:
    y = unit.sum_map(torch.tensor([[1 / 3, 0.7, -0.2]], dtype=torch.float64))
    found = invert(UnitJacobian(unit), y)
    assert found.error.value is not None
    true = true_error(found.x, y, Fraction(slope))
    assert true <= found.error.value <= 1e4 * max(true, 1e-12)


@CASES
@given(
    kind=st.sampled_from(["linear", "conv", "norm", "leaky", "tanh", "gelu", "scaled"]),
    seed=st.integers(0, 999),
    exponent=st.floats(-2, 8),
)
def test_the_rounding_of_a_branch_is_within_its_bound(kind: str, seed: int, exponent: float) -> None:
    """The slow way beside it: the same branch in float32, whose error the float64 pass shows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).float()

    size = 10.0**exponent
    operations: dict[str, list[Any]] = {
        "linear": [(F.linear, (draw(5, 3), size * draw(5))), (F.relu, ()), (F.linear, (draw(3, 5), draw(3)))],
        "conv": [(torch.conv2d, (draw(2, 2, 3, 3), size * draw(2), 1, 1)), (F.relu, ())],
        "norm": [
            (F.batch_norm, (size * draw(3), draw(3).abs() + 0.1, draw(3), draw(3), False, 0.1, 1e-5)),
            (F.relu, ()),
        ],
        "leaky": [(F.linear, (draw(3, 3), size * draw(3))), (F.leaky_relu, (0.2,))],
        "tanh": [(F.linear, (draw(3, 3), min(size, 10.0) * draw(3))), (torch.tanh, ())],
        "gelu": [(F.linear, (draw(3, 3), size * draw(3))), (F.gelu, ())],
        "scaled": [(torch.mul, (size * draw(3),)), (torch.sub, (draw(3),)), (F.relu, ())],
    }
    shape = (2, 4, 4) if kind == "conv" else (3,)
    single, double = unit_of(operations[kind], shape), unit_of(operations[kind], shape)
    double.branch.double()
    x = draw(1, *shape)
    found = forward_error(UnitJacobian(single), x)
    assert found is not None
    off = (single.branch(x).double() - double.branch(x.double())).abs()
    assert bool((off <= found.output * (1 + 1e-6) + 1e-30).all())
    # a bound that is not out of proportion: it would prove nothing
    assert norm(found.output) <= 1e4 * 6e-8 * (1 + size) * (1 + norm(single.branch(x)) + norm(x))
    assert residual_rounding(UnitJacobian(single).at(x)) is not None


def test_an_operation_whose_rounding_is_not_known_has_no_bound() -> None:
    unit = unit_of([(torch.exp, ())], (3,))
    assert forward_error(UnitJacobian(unit), torch.zeros(1, 3, dtype=torch.float64)) is None
    found = invert(UnitJacobian(unit), torch.ones(1, 3, dtype=torch.float64))
    assert found.error.value is None
