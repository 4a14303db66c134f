"""Pairs whose images agree up to rounding: of bijections that look folded, and of folds that look like bijections.

g = U⁻¹ ∘ h ∘ U with a unimodular integer matrix U and an h of every coordinate alone, so that the truth is known: h
strictly increasing makes a bijection, however flat; h with a slope of −δ a fold, however weak.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.bijectivity import State, prove, unit_verdicts
from resnet_diffeo_probe.bijectivity.continuity import continuity_of
from resnet_diffeo_probe.bijectivity.premises import Premises
from resnet_diffeo_probe.bijectivity.witnesses.witness import Witness, check
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from tests.bijectivity.conftest import unit_of

CASES = settings(max_examples=200, deadline=None)
AGREED: list[bool] = []


def unimodular(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """An integer matrix of determinant one, and its inverse: both exact in float64."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randint(-2, 3, (n, n), generator=generator).double().tril(-1) + torch.eye(n)
    return lower.double(), torch.linalg.inv(lower.double()).round()


def ramp(n: int, seed: int, slope: float, shift: float = 0.0) -> Any:
    """x + U⁻¹ (slope − 1) relu(U x + shift): h has the slope 1 below its kink and `slope` above."""
    U, inverse = unimodular(n, seed)
    bias = torch.full((n,), shift, dtype=torch.float64)
    return unit_of([(F.linear, (U, bias)), (F.relu, ()), (F.linear, (inverse * (slope - 1),))], (n,))


def pair(unit: Any, x1: Tensor, x2: Tensor) -> Witness:
    return check(unit, "sum", x1, x2, "made up", jacobian=UnitJacobian(unit))


@CASES
@given(n=st.integers(1, 5), seed=st.integers(0, 999), flat=st.integers(20, 52), apart=st.floats(1e-5, 10.0))
def test_a_flat_bijection_has_no_proof(n: int, seed: int, flat: int, apart: float) -> None:
    unit = ramp(n, seed, 2.0**-flat)
    _, inverse = unimodular(n, seed)
    x1 = (inverse @ torch.ones(n, dtype=torch.float64))[None]
    x2 = (inverse @ torch.full((n,), 1 + apart, dtype=torch.float64))[None]
    found = pair(unit, x1, x2)
    AGREED.append(found.agrees)
    assert not found.is_proof


def test_the_flat_bijections_did_look_folded() -> None:
    assert sum(AGREED) >= 50


@CASES
@given(n=st.integers(1, 4), exponent=st.integers(6, 15), scale=st.floats(0.1, 3.0), seed=st.integers(0, 999))
def test_what_a_large_constant_absorbs_is_no_proof(n: int, exponent: int, scale: float, seed: int) -> None:
    eye = torch.eye(n, dtype=torch.float64)
    big = torch.full((n,), 10.0**exponent, dtype=torch.float64)
    unit = unit_of([(F.linear, (scale * eye, big))], (n,))
    generator = torch.Generator().manual_seed(seed)
    x1 = torch.rand(1, n, generator=generator, dtype=torch.float64)
    # far below what the images can tell apart, and far enough for two points
    x2 = x1 + 2e-6 * torch.rand(1, n, generator=generator, dtype=torch.float64)
    for which in ("sum", "unit"):
        assert not check(unit, which, x1, x2, "made up", jacobian=UnitJacobian(unit)).is_proof


@CASES
@given(flat=st.integers(10, 50), step=st.floats(1e-6, 1e-2), n=st.integers(1, 3))
def test_a_smooth_bijection_that_is_almost_flat_has_no_proof(flat: int, step: float, n: int) -> None:
    # x − (1 − δ) tanh x is strictly increasing; around 0 its slope is δ + x²
    eye = torch.eye(n, dtype=torch.float64)
    unit = unit_of([(F.linear, (eye,)), (torch.tanh, ()), (F.linear, (-(1 - 2.0**-flat) * eye,))], (n,))
    x = torch.full((1, n), step, dtype=torch.float64)
    assert not pair(unit, x, -x).is_proof


FOUND: list[bool] = []


@CASES
@given(n=st.integers(1, 5), seed=st.integers(0, 999), weak=st.integers(0, 12), at=st.floats(0.5, 4.0))
def test_a_weak_fold_has_a_proof_whose_radius_holds_the_exact_pair(
    n: int, seed: int, weak: int, at: float
) -> None:
    slope = -(2.0**-weak)
    unit = ramp(n, seed, slope)
    _, inverse = unimodular(n, seed)
    # the first coordinate of U x at t and at slope · t: one image; the others on the side of slope one
    first, second = (torch.full((n,), -1.0, dtype=torch.float64) for _ in range(2))
    first[0], second[0] = at, slope * at
    x1, x2 = (inverse @ first)[None], (inverse @ second)[None]
    found = pair(unit, x1, x2)
    FOUND.append(found.is_proof)
    if found.is_proof:
        assert found.enclosure is not None
        assert found.enclosure.radius is not None
        # the defect of the images in rational numbers is within the bound of it
        gap = image(n, seed, Fraction(slope), x1, x2)
        assert gap <= Fraction(found.enclosure.defect) ** 2
    # and a pair beside it is none
    assert not pair(unit, x1, x2 + 1e-3).is_proof


def test_the_weak_folds_were_proven() -> None:
    assert sum(FOUND) >= 0.95 * len(FOUND) > 100


def image(n: int, seed: int, slope: Fraction, x1: Tensor, x2: Tensor) -> Fraction:
    """‖g(x₁) − g(x₂)‖² of a ramp without rounding."""
    U, inverse = ([[Fraction(v) for v in row] for row in m.tolist()] for m in unimodular(n, seed))
    images = []
    for x in (x1, x2):
        v = [Fraction(value) for value in x[0].tolist()]
        hidden = [
            max(sum((u * w for u, w in zip(row, v, strict=True)), Fraction(0)), Fraction(0)) for row in U
        ]
        moved = [(slope - 1) * sum(i * h for i, h in zip(row, hidden, strict=True)) for row in inverse]
        images.append([a + b for a, b in zip(v, moved, strict=True)])
    return sum(((a - b) ** 2 for a, b in zip(*images, strict=True)), Fraction(0))


def proven(unit: Any, inputs: Tensor) -> State:
    jacobian = UnitJacobian(unit)
    names = [f"i{k}" for k in range(len(inputs))]
    rows: dict[str, dict[str, Finding]] = {
        name: {"sign": determinant(jacobian.at(x[None])).sign} for name, x in zip(names, inputs, strict=True)
    }
    proofs = prove(unit, jacobian, inputs, names, rows, detailed_inputs=2)
    total, _ = unit_verdicts(
        unit.name,
        activation=None,
        not_applicable=None,
        not_run=None,
        rows=rows,
        nonnegative={},
        premises=Premises(continuity_of(unit.branch)),
        witnesses=proofs.witnesses,
        certificate=proofs.certificate,
    )
    return total.state


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 4), seed=st.integers(0, 999), flat=st.integers(4, 46))
def test_no_bijection_is_proven_folded(n: int, seed: int, flat: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, n, generator=generator, dtype=torch.float64)
    assert proven(ramp(n, seed, 2.0**-flat, 0.1), inputs) is not State.NOT_INJECTIVE_PROVEN


@pytest.mark.parametrize("positive", [True, False])
def test_the_flat_ramp_of_the_issue(positive: bool) -> None:
    eye = torch.eye(3, dtype=torch.float64)
    unit = unit_of(
        [(F.linear, ((1 + 2.0**-23) * eye,)), (F.relu, ()), (F.linear, (-(1 - 2.0**-23) * eye,))], (3,)
    )
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert proven(unit, x.abs() if positive else x) is not State.NOT_INJECTIVE_PROVEN
    one = torch.ones(1, 3, dtype=torch.float64)
    found = pair(unit, one, 2 * one)
    assert found.agrees  # the images are 2⁻⁴⁶ of the distance apart
    assert not found.is_proof
