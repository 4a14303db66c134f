"""The inverse against points whose images were taken, its error bound against the truth, and the findings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import global_certificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import branch_bounds, clearance
from resnet_diffeo_probe.bijectivity.inverse.inverse import InverseMethod, fixed_point, invert
from resnet_diffeo_probe.bijectivity.inverse.inverse_consistency import (
    INVERSE_QUANTITIES,
    inverse_consistency,
    nearby,
)
from resnet_diffeo_probe.bijectivity.search.twin import twin_witness
from resnet_diffeo_probe.bijectivity.witnesses.witness import check
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian import UnitJacobian

KINDS = ["dense", "leaky", "deep", "tanh", "gelu", "basic", "bottleneck"]


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_round_trip_of_a_certified_unit(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind, scale=0.15)
    jacobian = UnitJacobian(unit)
    certificate = global_certificate(jacobian, lower=False)
    assume(certificate.holds)
    x = unit.draw(seed)
    back = invert(jacobian, unit.sum_map(x), certificate=certificate)
    assert back.converged
    assert norm(back.x - x) <= 1e-12 * norm(x)
    assert back.error.value is not None
    assert norm(back.x - x) <= back.error.value <= 1e-10 * norm(x)
    assert back.error.unique_within is None  # the only preimage there is


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_beyond_contraction_newton_returns_with_a_bound(make_unit: Any, kind: str, seed: int) -> None:
    unit = make_unit(seed, kind, scale=1.5)
    jacobian = UnitJacobian(unit)
    x = unit.draw(seed)
    assume(float(torch.linalg.cond(unit.dense(x))) < 1e4)
    back = invert(jacobian, unit.sum_map(x), nearby(x, 1e-6, seed), try_fixed_point=False)
    assume(back.converged and norm(back.x - x) < 1e-4)
    assert norm(unit.sum_map(back.x) - unit.sum_map(x)) <= 1e-12 * (1 + norm(x))
    if back.error.value is None:
        assert back.error.proof
    else:
        assert norm(back.x - x) <= back.error.value
        assert back.error.unique_within is None or back.error.value < back.error.unique_within


def test_the_error_bound_holds_for_iterates_that_are_not_good(make_unit: Any) -> None:
    """Stopped early, the bound must still cover the true error: the residual alone does not."""
    covered = smaller = 0
    for seed in range(20):
        unit = make_unit(seed, "tanh", scale=0.3)
        jacobian = UnitJacobian(unit)
        certificate = global_certificate(jacobian, lower=False)
        x = unit.draw(seed)
        y = unit.sum_map(x)
        early = fixed_point(jacobian, y, tolerance=1e-4)
        if not certificate.holds or certificate.upper is None or not early.contracted:
            continue
        true = norm(early.x - x)
        assert true <= early.residual / (1 - certificate.upper)
        covered += 1
        smaller += early.residual < true
    assert covered >= 5
    assert smaller >= 1  # there is something to cover


def test_the_kantorovich_bound_covers_a_poor_iterate(make_unit: Any) -> None:
    from resnet_diffeo_probe.bijectivity.certificates.error_bound import newton_bound

    bounded = 0
    for seed in range(30):
        for kind in ("tanh", "dense"):
            unit = make_unit(seed, kind, scale=1.0)
            jacobian = UnitJacobian(unit)
            x = unit.draw(seed)
            y = unit.sum_map(x)
            near = nearby(x, 1e-5, seed)
            found = newton_bound(jacobian.at(near).factorize(keep=True), y, branch_bounds(jacobian))
            if found.value is not None:
                bounded += 1
                assert norm(near - x) <= found.value <= 1e-3
                assert found.unique_within is None or found.unique_within >= found.value
    assert bounded >= 20


def test_clearance_is_a_radius_without_a_kink(make_unit: Any) -> None:
    for seed in range(10):
        unit = make_unit(seed, "deep")
        jacobian = UnitJacobian(unit)
        lin = jacobian.at(unit.draw(seed))
        bounds = branch_bounds(jacobian)
        assert bounds is not None
        radius = clearance(lin, bounds)
        assert radius > 0
        for k in range(30):
            direction = unit.draw(1000 + k)
            other = jacobian.at(lin.x + radius * direction / norm(direction))
            for a, b in zip(lin.derivatives, other.derivatives, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_fixed_point_contracts_or_says_that_it_does_not(build_unit: Any) -> None:
    def scalar(slope: float) -> UnitJacobian:
        return UnitJacobian(build_unit([(F.linear, (torch.tensor([[slope]]).double(),))], (1,)))

    one = torch.ones(1, 1).double()
    good = fixed_point(scalar(0.5), one)
    assert good.contracted
    assert float(good.x) == pytest.approx(1 / 1.5, abs=1e-14)
    # the rate near rounding is not the rate of the iteration; stopped before, it is
    assert fixed_point(scalar(0.5), one, tolerance=1e-8).rate == pytest.approx(0.5, abs=1e-6)
    bad = fixed_point(scalar(-3.0), one)
    assert not bad.contracted
    assert bad.rate == pytest.approx(3)
    exact = invert(scalar(-3.0), one)
    assert exact.converged
    assert exact.method is InverseMethod.NEWTON
    assert float(exact.x) == pytest.approx(-0.5, abs=1e-15)


def test_no_preimage_is_no_answer(build_unit: Any) -> None:
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]]).double(),))], (1,))
    nothing = invert(UnitJacobian(unit), torch.ones(1, 1).double())
    assert not nothing.converged
    assert nothing.error.value is None
    assert nothing.relative_error is None
    assert nothing.reason


@pytest.mark.parametrize("kind", KINDS)
def test_findings_are_those_of_the_definitions(make_unit: Any, kind: str) -> None:
    unit = make_unit(1, kind, scale=0.15)
    x = unit.draw(0)
    found = inverse_consistency(UnitJacobian(unit), x)
    assert tuple(found.findings) == INVERSE_QUANTITIES
    y = unit.sum_map(x)
    euler = norm(y - unit.branch(y) - x) / norm(x)  # eq. 9 of the paper
    assert found.findings["inverse_error_euler"].value == pytest.approx(euler)
    for name in INVERSE_QUANTITIES[1:]:
        value = found.findings[name].value
        assert value is not None
        assert value < 1e-12
    assert found.other_preimage is None


def test_an_inverse_that_ends_elsewhere_is_a_witness(build_unit: Any) -> None:
    # g(x) = x − 3 relu(x): g(−2) = −2 = g(1); from y − F(y) = −2 the inverse of g(1) ends at −2
    unit = build_unit([(F.relu, ()), (F.linear, (torch.tensor([[-3.0]]).double(),))], (1,))
    x = torch.ones(1, 1).double()
    found = inverse_consistency(UnitJacobian(unit), x)
    assert found.other_preimage is not None
    assert float(found.other_preimage) == pytest.approx(-2)
    assert found.findings["inverse_error_exact"].value == pytest.approx(3)
    assert "another preimage" in (found.findings["inverse_error_exact"].reason or "")
    assert check(unit, "sum", x, found.other_preimage, "inverse", jacobian=UnitJacobian(unit)).is_proof


def test_what_cannot_be_measured_is_a_status(build_unit: Any) -> None:
    unit = build_unit([(F.linear, (torch.tensor([[-3.0]]).double(),))], (1,))
    zero = inverse_consistency(UnitJacobian(unit), torch.zeros(1, 1).double())
    assert {f.status for f in zero.findings.values()} == {Status.INFINITE}
    diverging = inverse_consistency(UnitJacobian(unit), torch.ones(1, 1).double()).findings
    assert diverging["inverse_error_fixed_point"].status is Status.NOT_CONVERGED
    assert "does not contract" in (diverging["inverse_error_fixed_point"].reason or "")
    assert diverging["inverse_error_exact"].value == pytest.approx(0, abs=1e-15)
    flat = build_unit([(F.linear, (torch.tensor([[-1.0]]).double(),))], (1,))
    singular = inverse_consistency(UnitJacobian(flat), torch.ones(1, 1).double()).findings
    assert singular["inverse_error_exact"].value is None or singular["inverse_error_exact"].error is None


def test_twins_of_inputs(make_unit: Any, build_unit: Any) -> None:
    found = 0
    for seed in range(10):
        unit = make_unit(seed, "basic", scale=2.0)
        inputs: Tensor = torch.cat([unit.draw(s) for s in range(4)])
        twin = twin_witness(unit, UnitJacobian(unit), inputs, "abcd", starts=(0.1, 0.3))
        if twin is not None:
            found += 1
            assert twin.is_proof
            index = "abcd".index(twin.about["nearest_input"])
            torch.testing.assert_close(twin.x1, inputs[index : index + 1], rtol=0, atol=0)
    assert found >= 2
    bijection = build_unit([(F.linear, (torch.full((2, 2), 0.1).double(),))], (2,))
    assert twin_witness(bijection, UnitJacobian(bijection), torch.ones(2, 2).double(), "ab") is None
