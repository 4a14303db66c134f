"""Local certificates under attack: sampled slopes, collisions within the radius, folds of known place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.certificate_local import LocalCertificate, local_certificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.hidden_reach import reaches, row_norms
from resnet_diffeo_probe.bijectivity.certificates.structured import Uncertain, feedback, robustness
from resnet_diffeo_probe.bijectivity.search.fold import find_fold
from resnet_diffeo_probe.jacobian import UnitJacobian

PIECEWISE = ["dense", "leaky", "deep", "basic", "bottleneck"]
KINDS = [*PIECEWISE, "tanh", "gelu"]


def certificate_of(unit: Any, x: Tensor, p: float, **options: Any) -> LocalCertificate:
    jacobian = UnitJacobian(unit)
    bounds = branch_bounds(jacobian)
    assert bounds is not None
    sigma = float(torch.linalg.svdvals(unit.dense(x))[-1])
    return local_certificate(jacobian.at(x).factorize(keep=True), bounds, p=p, sigma_min=sigma, **options)


def in_ball(unit: Any, x: Tensor, radius: float, p: float, seed: int) -> Tensor:
    d = unit.draw(seed)
    return x + 0.999 * radius * (d.sign() if math.isinf(p) else d / norm(d))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [2, math.inf])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_no_attack_inside_the_radius_succeeds(make_unit: Any, kind: str, p: float, seed: int) -> None:
    unit = make_unit(seed, kind)
    x = unit.draw(seed)
    found = certificate_of(unit, x, p)
    radius = 10.0 if found.radius is None else found.radius
    sign = unit.sign(x)
    points = [in_ball(unit, x, radius * (0.2 + 0.8 * (k % 3) / 2), p, k) for k in range(30)]
    # sampled signs: one everywhere in the ball
    assert all(unit.sign(point) == sign for point in points)
    # projected gradient: make two points of the ball collide, relative to their distance
    a, b = points[0].clone().requires_grad_(), points[-1].clone().requires_grad_()
    start = None
    for _ in range(25):
        ratio = (unit.sum_map(a) - unit.sum_map(b)).norm() / (a - b).norm()
        start = float(ratio.detach()) if start is None else start
        gradients = torch.autograd.grad(ratio.log(), (a, b))
        with torch.no_grad():
            for point, gradient in zip((a, b), gradients, strict=True):
                point.sub_(0.1 * radius * gradient / gradient.norm().clamp_min(1e-12))
                d = point - x
                if math.isinf(p):
                    d.clamp_(-radius, radius)
                elif norm(d) > radius:
                    d *= radius / norm(d)
                point.copy_(x + 0.9999 * d)
    last = float(((unit.sum_map(a) - unit.sum_map(b)).norm() / (a - b).norm()).detach())
    assert last > 1e-9
    assert start is not None


@pytest.mark.parametrize("kind", PIECEWISE)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_the_radius_never_reaches_a_fold(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind)
    ends = unit.opposite(60)
    if ends is None:
        return
    fold = find_fold(UnitJacobian(unit), *ends, (1, -1))
    assert fold is not None
    for p in (2, math.inf):
        for end in ends:
            distance = float(torch.linalg.vector_norm((fold.point - end).reshape(-1), ord=p))
            radius = certificate_of(unit, end, p).radius
            assert radius is not None
            assert radius <= distance
            # and from very near the fold it is small, not zero
            close = fold.point + 1e-3 * (end - fold.point) / norm(end - fold.point)
            near = certificate_of(unit, close, p).radius
            assert near is not None
            assert near <= 1e-3


def test_a_known_radius_in_one_dimension(build_unit: Any) -> None:
    # x − 3 relu(x + ½) folds at −½ and nowhere else: the criterion is exact here
    unit = build_unit(
        [
            (F.linear, (torch.ones(1, 1).double(), torch.full((1,), 0.5).double())),
            (F.relu, ()),
            (F.linear, (torch.tensor([[-3.0]]).double(),)),
        ],
        (1,),
    )
    for p in (2, math.inf):
        found = certificate_of(unit, torch.tensor([[1.0]]).double(), p)
        assert found.radius == pytest.approx(1.5)
        assert found.classical_radius == pytest.approx(1.5)
    # slopes 1 and 1 − 0.9 never change sign: injective everywhere, the radius is no number
    mild = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-0.9]]).double(),))], (1,))
    everywhere = certificate_of(mild, torch.tensor([[1.0]]).double(), 2)
    assert everywhere.radius is None
    assert everywhere.limited_by == "nothing"


def test_the_structure_is_worth_much(make_unit: Any) -> None:
    gains = []
    for seed in range(12):
        unit = make_unit(seed, "basic", scale=0.8)
        found = certificate_of(unit, unit.draw(seed), 2)
        assert found.classical_radius is not None
        if found.radius is None:
            gains.append(math.inf)
        else:
            assert found.radius >= found.classical_radius
            gains.append(found.radius / found.classical_radius)
    assert sorted(gains)[6] > 3


def test_the_number_of_units_limits_the_radius_and_says_so(make_unit: Any) -> None:
    unit = make_unit(0, "basic", scale=0.5)
    x = unit.draw(0)
    few, many = certificate_of(unit, x, 2, max_units=3), certificate_of(unit, x, 2, max_units=30)
    assert few.limited_by == "the number of units allowed"
    assert few.units == 3
    assert few.radius is not None
    assert many.radius is None or many.radius > few.radius
    assert few.to_json()["norm"] == "l2"


def test_weaker_certificates_of_smooth_units_say_so(make_unit: Any, build_unit: Any) -> None:
    unit = make_unit(0, "tanh", scale=0.8)
    x = unit.draw(0)
    structured, weaker = certificate_of(unit, x, 2), certificate_of(unit, x, 2, max_units=2)
    assert "weaker" in structured.criterion
    assert "Lipschitz constant of the Jacobian" in weaker.criterion
    assert weaker.radius is not None
    assert weaker.radius > 0
    for k in range(20):
        assert unit.sign(in_ball(unit, x, weaker.radius, 2, k)) == unit.sign(x)
    unknown = build_unit([(F.linear, (0.1 * torch.eye(2).double(),)), (F.hardswish, ())], (2,))
    none = certificate_of(unknown, torch.ones(1, 2).double(), 2)
    assert none.radius == 0
    assert "curvature" in none.criterion


@pytest.mark.parametrize("kind", ["dense", "deep", "bottleneck"])
def test_feedback_is_the_response_of_the_hidden_units(make_unit: Any, kind: str) -> None:
    """det J(Δ) / det J = det(I + KΔ), with J(Δ) by other slopes in the same branch: the slow honest way."""
    unit = make_unit(4, kind)
    jacobian = UnitJacobian(unit)
    lin = jacobian.at(unit.draw(1))
    cuts = torch.cat([torch.full((z.numel(),), j) for j, z in enumerate(lin.pre_activations, 1)])
    indices = torch.cat([torch.arange(z.numel()) for z in lin.pre_activations])
    generator = torch.Generator().manual_seed(0)
    delta = torch.rand(cuts.numel(), dtype=torch.float64, generator=generator) - 0.5
    units = Uncertain(cuts, indices, delta, delta)
    matrix, effects, gradients = feedback(lin.factorize(keep=True), units)
    n = lin.dimension
    basis = torch.eye(n, dtype=torch.float64).reshape(n, *unit.input_shape)

    def dense(slopes: list[Tensor]) -> Tensor:
        v = jacobian.chain.segments[0].apply(basis)
        for segment, slope in zip(jacobian.chain.segments[1:], slopes, strict=True):
            v = segment.apply(v * slope)
        return (basis + v).reshape(n, n).mT

    nominal = dense(list(lin.derivatives))
    torch.testing.assert_close(nominal, unit.dense(lin.x))
    parts = delta.split([z.numel() for z in lin.pre_activations])
    changed = dense([d + part.reshape(d.shape) for d, part in zip(lin.derivatives, parts, strict=True)])
    ratio = torch.linalg.det(changed) / torch.linalg.det(nominal)
    eye = torch.eye(cuts.numel(), dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.det(eye + matrix * delta), ratio, rtol=1e-9, atol=1e-12)
    assert float(torch.linalg.eigvalsh(effects)[0]) > -1e-9
    assert float(torch.linalg.eigvalsh(gradients)[0]) > -1e-9


@given(seed=st.integers(0, 10_000), m=st.integers(1, 7), size=st.floats(0.01, 2.0))
@settings(max_examples=60, deadline=None)
def test_below_one_means_regular_at_every_corner(seed: int, m: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = size * torch.randn(m, m, dtype=torch.float64, generator=generator)
    low = -torch.rand(m, dtype=torch.float64, generator=generator)
    high = torch.rand(m, dtype=torch.float64, generator=generator)
    if robustness(matrix, low, high) < 1:
        # det(I + KΔ) is affine in each entry of Δ: one sign at all corners is one sign on the box
        eye = torch.eye(m, dtype=torch.float64)
        for corner in range(2**m):
            bits = torch.tensor([(corner >> k) & 1 for k in range(m)], dtype=torch.float64)
            assert float(torch.linalg.det(eye + matrix * (low + bits * (high - low)))) > 0


def test_robustness_is_not_empty_and_not_credulous() -> None:
    one = torch.ones(1, dtype=torch.float64)
    # 1 + k δ with δ in [0, 1] is regular down to k = −1
    assert robustness(torch.tensor([[-0.99]]).double(), 0 * one, one) < 1
    assert robustness(torch.tensor([[-1.01]]).double(), 0 * one, one) >= 1
    assert robustness(torch.tensor([[50.0]]).double(), 0 * one, one) < 1
    assert robustness(torch.zeros(0, 0).double(), one[:0], one[:0]) == 0
    # skew couplings: |K| fails where the norm holds
    skew = torch.tensor([[0.0, 0.7], [-0.7, 0.0]]).double()
    assert (
        robustness(skew.mT + 0.6 * torch.eye(2).double(), -torch.ones(2).double(), torch.ones(2).double()) < 1
    )


@pytest.mark.parametrize("kind", PIECEWISE)
@pytest.mark.parametrize("p", [2, math.inf])
def test_no_point_of_the_ball_moves_a_unit_further_than_its_reach(
    make_unit: Any, kind: str, p: float
) -> None:
    unit = make_unit(2, kind)
    jacobian = UnitJacobian(unit)
    bounds = branch_bounds(jacobian)
    assert bounds is not None
    reach = reaches(jacobian, bounds, p)
    x = unit.draw(0)
    before = jacobian.at(x).pre_activations
    for k in range(30):
        y = x + unit.draw(k + 1)
        moved = jacobian.at(y).pre_activations
        distance = float(torch.linalg.vector_norm((y - x).reshape(-1), ord=p))
        for a, b, rho in zip(before, moved, reach, strict=True):
            assert bool(((a - b).abs() <= rho * distance * (1 + 1e-9)).all())
    dense = jacobian.chain.segments[0].matrix.dense()
    torch.testing.assert_close(row_norms(jacobian.chain.segments[0].matrix).reshape(-1), dense.norm(dim=1))
