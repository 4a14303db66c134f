"""Upper bounds of norms against dense singular values, of slopes against fine grids, and what they certify."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import (
    global_certificate,
    jacobian_norm,
    segment_bound,
)
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import curvature_bound, slope_bound, slope_range
from resnet_diffeo_probe.bijectivity.certificates.operator_norm import gram_bound, norm_bound
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.branch.activations import activation
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.operators import linear_operator

CONVOLUTIONS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "kernel": st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 3), (5, 3)]),
        "stride": st.sampled_from([1, 2, (1, 2)]),
        "dilation": st.sampled_from([1, 2]),
        "padding": st.sampled_from([0, 1, 2]),
        "size": st.sampled_from([(3, 3), (4, 6), (7, 5)]),
        "groups": st.sampled_from([1, 2]),
    }
)


@given(case=CONVOLUTIONS)
@settings(max_examples=60, deadline=None)
def test_the_bound_of_a_convolution_is_above_its_norm(case: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    weight = torch.randn(4, 2 // case["groups"], *case["kernel"], dtype=torch.float64, generator=generator)
    spans = [case["dilation"] * (k - 1) + 1 for k in case["kernel"]]
    if any(s + 2 * case["padding"] < span for s, span in zip(case["size"], spans, strict=True)):
        return
    args = (weight, None, case["stride"], case["padding"], case["dilation"], case["groups"])
    operator = linear_operator(torch.conv2d, args, {}, (2, *case["size"]))
    assert operator is not None
    matrix = operator.matrix()
    true = float(torch.linalg.svdvals(matrix.dense())[0])
    bound = norm_bound(matrix, operator.out_shape[1:], operator.in_shape[1:])
    assert true <= bound.value
    taps = case["kernel"][0] * case["kernel"][1]
    assert bound.value <= 1.0001 * taps**0.5 * 4 * float(torch.linalg.vector_norm(weight))


@pytest.mark.parametrize("shape", [(16, 32), (64, 8)])
def test_the_bound_is_tight_where_borders_matter_little(shape: tuple[int, int]) -> None:
    channels, size = shape
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(channels, channels, 3, 3, dtype=torch.float64, generator=generator)
    operator = linear_operator(torch.conv2d, (weight, None, 1, 1), {}, (channels, size, size))
    assert operator is not None
    bound = norm_bound(operator.matrix(), (size, size), (size, size))
    assert bound.method == "torus"
    # power iteration, from below
    v = torch.randn(1, channels, size, size, dtype=torch.float64, generator=generator)
    for _ in range(60):
        image = operator.apply(v / norm(v))
        v = F.conv_transpose2d(image, weight, padding=1)
    assert norm(image) <= bound.value <= 1.15 * norm(image)


def test_the_small_torus_is_no_bound_and_ours_is() -> None:
    violated = 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        weight = torch.randn(1, 1, 3, 3, dtype=torch.float64, generator=generator)
        operator = linear_operator(torch.conv2d, (weight, None, 1, 1), {}, (1, 3, 3))
        assert operator is not None
        true = float(torch.linalg.svdvals(operator.matrix().dense())[0])
        small = float(torch.fft.fft2(weight[0, 0]).abs().max())
        violated += small < true * (1 - 1e-9)
        assert norm_bound(operator.matrix(), (3, 3), (3, 3)).value >= true
    assert violated > 10  # the mistake is there to be made


@given(seed=st.integers(0, 10_000), m=st.integers(1, 12), n=st.integers(1, 12), decades=st.integers(-12, 12))
@settings(max_examples=60, deadline=None)
def test_gram_bound_is_above_and_near(seed: int, m: int, n: int, decades: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(3, m, n, dtype=torch.float64, generator=generator) * 10.0**decades
    a[1] = torch.outer(a[1, :, 0], a[1, 0])  # rank one: ‖·‖_F = ‖·‖₂
    a[2] = 0
    true, bound = torch.linalg.svdvals(a)[:, 0], gram_bound(a)
    assert bool((bound >= true * (1 - 1e-15)).all())
    assert bool((bound <= true * min(m, n) ** (1 / 1000) * (1 + 1e-10)).all())


def test_a_masked_convolution_is_not_taken_for_a_whole_one() -> None:
    # one entry of the border is missing, as no padding leaves it out: the torus proves nothing here
    weight = torch.randn(1, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    operator = linear_operator(torch.conv1d, (weight, None, 1, 1), {}, (1, 5))
    assert operator is not None
    whole = operator.matrix()
    keep = torch.arange(whole.rows.size).numpy() != 3
    masked = SharedBlockMatrix(whole.blocks, whole.rows[keep], whole.cols[keep], whole.ids[keep], 5, 5)
    bound = norm_bound(masked, (5,), (5,))
    assert bound.method == "rows and columns"
    assert bound.value >= float(torch.linalg.svdvals(masked.dense())[0])


def test_reflection_padding_has_a_bound_too(build_unit: Any) -> None:
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    unit = build_unit([(F.pad, ([1, 1, 1, 1], "reflect")), (torch.conv2d, (weight,))], (2, 4, 4))
    (segment,) = UnitJacobian(unit).chain.segments
    bound = segment_bound(segment)
    assert bound.upper is not None
    assert bound.upper >= float(torch.linalg.svdvals(segment.matrix.dense())[0])


ACTIVATIONS: list[tuple[Any, tuple[Any, ...]]] = [
    (F.relu, ()),
    (F.relu6, ()),
    (F.hardtanh, (-0.5, 2.0)),
    (F.leaky_relu, (0.3,)),
    (F.leaky_relu, (-1.7,)),
    (F.gelu, ()),
    (F.silu, ()),
    (F.mish, ()),
    (torch.tanh, ()),
    (torch.sigmoid, ()),
    (F.softplus, (1.0, 40.0)),
    (F.softsign, ()),
    (torch.erf, ()),
    (torch.sin, ()),
    (torch.cos, ()),
    (F.celu, (0.7,)),
    (F.elu, (1.6,)),
    (F.elu, (0.4,)),
    (F.selu, ()),
    (F.hardswish, ()),
    (F.hardsigmoid, ()),
]


@pytest.mark.parametrize(("function", "args"), ACTIVATIONS)
def test_slopes_are_bounded_and_the_bound_is_reached(function: Any, args: tuple[Any, ...]) -> None:
    act = activation(function, args, {})
    assert act is not None
    z = torch.linspace(-8, 8, 400_001, dtype=torch.float64).requires_grad_()
    steepest = float(torch.autograd.grad(function(z, *args).sum(), z)[0].abs().max())
    bound = slope_bound(act)
    assert bound is not None
    assert steepest <= bound <= 1.001 * steepest


def test_tanh_form_of_gelu_is_bounded_too() -> None:
    act = activation(F.gelu, (), {"approximate": "tanh"})
    assert act is not None
    z = torch.linspace(-8, 8, 400_001, dtype=torch.float64).requires_grad_()
    first = torch.autograd.grad(act.function(z).sum(), z, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), z)[0]
    assert float(first.detach().abs().max()) <= (slope_bound(act) or 0)
    assert float(second.abs().max()) <= (curvature_bound(act) or 0)


@pytest.mark.parametrize(
    "function", [F.gelu, F.silu, torch.tanh, torch.sigmoid, torch.erf, torch.sin, torch.cos]
)
def test_curvatures_are_bounded_and_the_bound_is_reached(function: Any) -> None:
    act = activation(function, (), {})
    assert act is not None
    z = torch.linspace(-8, 8, 400_001, dtype=torch.float64).requires_grad_()
    first = torch.autograd.grad(function(z).sum(), z, create_graph=True)[0]
    steepest = float(torch.autograd.grad(first.sum(), z)[0].abs().max())
    bound = curvature_bound(act)
    assert bound is not None
    assert steepest <= bound <= 1.003 * steepest


def test_what_has_no_bound_says_so(build_unit: Any) -> None:
    act = activation(torch.exp, (), {})
    assert act is not None
    assert slope_bound(act) is None
    assert slope_range(act, (1,)) is None
    unit = build_unit([(F.linear, (0.01 * torch.ones(2, 2).double(),)), (torch.exp, ())], (2,))
    certificate = global_certificate(UnitJacobian(unit))
    assert not certificate.holds
    assert certificate.upper is None
    assert "exp" in (certificate.reason or "")


def test_slopes_of_a_prelu_differ_by_channel() -> None:
    act = activation(F.prelu, (torch.tensor([0.1, -3.0], dtype=torch.float64),), {})
    assert act is not None
    slopes = slope_range(act, (2, 3))
    assert slopes is not None
    torch.testing.assert_close(slopes[0][0, :, 0], torch.tensor([0.1, -3.0], dtype=torch.float64))
    torch.testing.assert_close(slopes[1][0, :, 0], torch.ones(2, dtype=torch.float64))
    assert slope_bound(act) == 3.0


@pytest.mark.parametrize("kind", ["dense", "leaky", "deep", "tanh", "gelu", "basic", "bottleneck"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_the_bound_is_above_every_difference_quotient(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind)
    jacobian = UnitJacobian(unit)
    certificate = global_certificate(jacobian, x=unit.draw(seed))
    assert certificate.upper is not None
    assert certificate.lower is not None
    for k in range(20):
        a, b = unit.draw(k), unit.draw(k) + 10.0 ** (-(k % 4)) * unit.draw(k + 100)
        assert norm(unit.branch(a) - unit.branch(b)) <= certificate.upper * norm(a - b) * (1 + 1e-9)
    assert certificate.lower <= certificate.upper
    for layer in certificate.layers:
        assert layer.upper is not None
        assert layer.lower is None or layer.lower <= layer.upper


def test_power_iteration_lies_below_the_norm(make_unit: Any) -> None:
    unit = make_unit(3, "basic")
    x = unit.draw(0)
    true = float(torch.linalg.svdvals(unit.dense(x) - torch.eye(x.numel(), dtype=torch.float64))[0])
    found = jacobian_norm(UnitJacobian(unit).at(x))
    assert 0.9 * true <= found <= true * (1 + 1e-12)


@pytest.mark.parametrize("kind", ["dense", "deep", "tanh", "gelu", "basic", "bottleneck"])
def test_contracting_branches_are_certified_and_folding_ones_never(make_unit: Any, kind: str) -> None:
    certified = global_certificate(UnitJacobian(make_unit(0, kind, scale=0.2)))
    assert certified.holds
    assert certified.inverse_lipschitz is not None
    assert certified.to_json()["proof"] is not None
    checked = 0
    for seed in range(8):
        unit = make_unit(seed, kind, scale=1.5)
        if unit.opposite(60) is not None:
            checked += 1
            certificate = global_certificate(UnitJacobian(unit))
            assert not certificate.holds
            assert certificate.to_json()["proof"] is None
    assert checked >= 3


def test_a_branch_that_is_exactly_minus_identity_is_not_certified(build_unit: Any) -> None:
    # g = 0: the bound is one up to rounding, and rounding must not certify it
    for turn in (0.3, 0.7, 1.1):
        c, s = torch.cos(torch.tensor(turn)).double(), torch.sin(torch.tensor(turn)).double()
        rotation = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
        unit = build_unit([(F.linear, (rotation,)), (F.linear, (-rotation.mT.contiguous(),))], (2,))
        certificate = global_certificate(UnitJacobian(unit))
        assert not certificate.holds
        assert certificate.upper is not None
        assert 1 - 1e-6 <= certificate.upper < 1.01
