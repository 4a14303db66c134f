"""Inputs of a unit eliminated together find what each finds by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian import Determinant, Linearization, UnitJacobian, determinant
from resnet_diffeo_probe.jacobian.linearized import unit_jacobian
from resnet_diffeo_probe.jacobian.measures import batched_determinant as batched
from resnet_diffeo_probe.jacobian.measures.batched_determinant import determinants, together_bytes
from resnet_diffeo_probe.jacobian.measures.spectrum import smallest_singular_value

D = torch.float64
UnitOf = Callable[..., Any]


def tensor(*shape: int, scale: float = 0.3, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def conv(c_out: int, c_in: int, *kernel: int, seed: int = 0, **kwargs: Any) -> Any:
    function = {1: torch.conv1d, 2: torch.conv2d}[len(kernel)]
    return function, (tensor(c_out, c_in, *kernel, seed=seed), tensor(c_out, seed=seed + 1)), kwargs


# each is run at six inputs of different activity
BRANCHES: dict[str, tuple[list[Any], tuple[int, ...]]] = {
    "basic": (
        [conv(3, 2, 3, 3, padding=1), (F.relu, (), {}), conv(2, 3, 3, 3, seed=3, padding=1)],
        (2, 7, 5),
    ),
    "bottleneck, two activations": (
        [
            conv(2, 4, 1, 1),
            (F.relu, (), {}),
            conv(2, 2, 3, 3, seed=2, padding=1),
            (F.silu, (), {}),
            conv(4, 2, 1, 1, seed=4),
        ],
        (4, 5, 6),
    ),
    "circular": (
        [
            (F.pad, ([1, 1, 1, 1],), {"mode": "circular"}),
            conv(4, 2, 3, 3),
            (F.relu, (), {}),
            conv(2, 4, 1, 1, seed=5),
        ],
        (2, 6, 4),
    ),
    "low rank": (
        [
            conv(4, 2, 3, 3, padding=1),
            (F.group_norm, (2, tensor(4).abs() + 0.5, tensor(4)), {}),
            (F.relu, (), {}),
            conv(2, 4, 3, 3, seed=5, padding=1),
        ],
        (2, 5, 4),
    ),
    "norm of each position": (
        [
            conv(4, 1, 3, 3, padding=1, groups=4),
            (torch.permute, ((0, 2, 3, 1),), {}),
            (F.layer_norm, ((4,), tensor(4) + 1, tensor(4, seed=1)), {}),
            (F.linear, (tensor(5, 4), tensor(5)), {}),
            (F.gelu, (), {}),
            (F.linear, (tensor(4, 5, seed=2), tensor(4)), {}),
            (torch.permute, ((0, 3, 1, 2),), {}),
        ],
        (4, 5, 4),
    ),
    "one axis": ([conv(3, 3, 3, padding=1), (F.relu6, (), {}), conv(3, 3, 3, seed=7, padding=1)], (3, 9)),
}


def inputs(shape: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    """Noise, shifted and scaled: few coordinates active, many, all of half an image, none that the branch sees."""
    x = [tensor(*shape, scale=1.0, seed=seed + k) for k in range(6)]
    x[1] = x[1] + 2
    x[2] = 5 * x[2] - 3
    x[3][..., : shape[-1] // 2] = -4
    x[4] = 0.01 * x[4]
    x[5] = torch.zeros(shape, dtype=D)
    return x


def assert_same(one: Finding, other: Finding) -> None:
    assert (one.status, one.evidence, one.dtype) == (other.status, other.evidence, other.dtype)
    assert (one.reason is None) == (other.reason is None)
    if one.value is None or other.value is None:
        assert one.value is other.value
    else:
        assert one.value == pytest.approx(other.value, rel=1e-9, abs=1e-11)


def assert_alike(together: Determinant, alone: Determinant) -> None:
    assert together.sign.value == alone.sign.value
    assert_same(together.sign, alone.sign)
    assert_same(together.logabsdet, alone.logabsdet)
    # a bound of rounding errors differs with them
    assert together.margin.status is alone.margin.status
    if alone.margin.value is not None and alone.sign.status is Status.OK:
        assert together.margin.value is not None
        assert together.margin.value < max(100 * alone.margin.value, 1e-10)
    assert (together.factorization is None) == (alone.factorization is None)


def linearized(unit: Any, points: list[Tensor]) -> list[Linearization]:
    jacobian = UnitJacobian(unit)
    return [jacobian.at(x) for x in points]


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", BRANCHES)
def test_together_is_as_alone(
    unit_of: UnitOf, name: str, keep: bool, tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tiles:  # as on a GPU, or without numba
        monkeypatch.setattr(unit_jacobian, "compiled_loop", lambda: None)
    operations, shape = BRANCHES[name]
    unit = unit_of(operations, shape)
    lins = linearized(unit, inputs(shape))
    for lin, together in zip(lins, determinants(lins, seed=3, keep=keep), strict=True):
        assert_alike(together, determinant(lin, seed=3, keep=keep))
        sign, logabsdet = torch.linalg.slogdet(unit.jacobian(lin.x[0]))
        assert together.logabsdet.value == pytest.approx(float(logabsdet), rel=1e-9, abs=1e-11)
        if together.sign.status is Status.OK:
            assert together.sign.value == int(sign)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 8))
def test_any_number_of_inputs(unit_of: UnitOf, seed: int, count: int) -> None:
    operations, shape = BRANCHES["basic"]
    points = [tensor(*shape, scale=2.0, seed=seed + k) + 0.5 * (k - 3) for k in range(count)]
    lins = linearized(unit_of(operations, shape), points)
    for lin, together in zip(lins, determinants(lins, keep=False), strict=True):
        assert_alike(together, determinant(lin, keep=False))


@pytest.mark.parametrize("name", ["bottleneck, two activations", "low rank"])
def test_kept_factors_solve_as_those_of_one_input(unit_of: UnitOf, name: str) -> None:
    operations, shape = BRANCHES[name]
    unit = unit_of(operations, shape)
    lins = linearized(unit, inputs(shape)[:4])
    v = tensor(2, *shape, scale=1.0, seed=8)
    for lin, found in zip(lins, determinants(lins), strict=True):
        assert found.factorization is not None
        J = unit.jacobian(lin.x[0])
        solved = found.factorization.solve(v).flatten(1)
        torch.testing.assert_close(solved, torch.linalg.solve(J, v.flatten(1).mT).mT)
        transposed = found.factorization.solve_transpose(v).flatten(1)
        torch.testing.assert_close(transposed, torch.linalg.solve(J.mT, v.flatten(1).mT).mT)
        sigma = smallest_singular_value(lin, found.factorization)
        assert sigma.value == pytest.approx(float(torch.linalg.svdvals(J)[-1]), rel=1e-9)


def test_singular_inputs_say_so_and_the_others_do_not_notice(
    unit_of: UnitOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # x − ReLU(x): the Jacobian is zero where x > 0
    minus = -torch.eye(2, dtype=D)[:, :, None, None]
    identity = torch.eye(2, dtype=D)[:, :, None, None]
    none = torch.zeros(2, dtype=D)
    unit = unit_of(
        [(torch.conv2d, (minus, none), {}), (F.relu, (), {}), (torch.conv2d, (identity, none), {})], (2, 4, 3)
    )
    negative, mixed = tensor(2, 4, 3, scale=1.0).abs(), tensor(2, 4, 3, scale=1.0)
    lins = linearized(unit, [negative, -negative, mixed, 2 * negative])
    by_itself = []

    def counted(lin: Linearization, **how: Any) -> Determinant:
        by_itself.append(lin)
        return determinant(lin, **how)

    monkeypatch.setattr(batched, "determinant", counted)
    found = determinants(lins, keep=False)
    alone = [determinant(lin, keep=False) for lin in lins]
    for one, other in zip(found, alone, strict=True):
        assert_alike(one, other)
    assert all(any(lin is lins[k] for lin in by_itself) for k, one in enumerate(alone) if one.sign.value == 0)
    assert len(by_itself) < len(lins)


def test_inputs_that_are_cut_elsewhere_are_eliminated_apart(unit_of: UnitOf) -> None:
    # the first activation is narrow where the image is dark, the second one where it is bright
    few, many = torch.full((3,), -2.0, dtype=D), torch.full((3,), 2.0, dtype=D)
    to_dark = (-torch.eye(3, dtype=D)[:, :, None, None] + tensor(3, 3, 1, 1, scale=0.05), many)
    operations = [
        (torch.conv2d, (torch.eye(3, dtype=D)[:, :, None, None], few), {}),
        (F.relu, (), {}),
        (torch.conv2d, to_dark, {}),
        (F.relu, (), {}),
        conv(3, 3, 3, 3, seed=3, padding=1),
    ]
    points = [tensor(3, 6, 4, scale=1.0, seed=k) + (7 if k % 2 else -1) for k in range(6)]
    lins = linearized(unit_of(operations, (3, 6, 4)), points)
    assert {batched.alike(lin) for lin in lins} == {(1, 0), (2, 0)}
    for lin, together in zip(lins, determinants(lins, keep=False), strict=True):
        assert_alike(together, determinant(lin, keep=False))


def test_other_units_are_refused(unit_of: UnitOf) -> None:
    operations, shape = BRANCHES["basic"]
    lins = [linearized(unit_of(operations, shape), [inputs(shape)[0]])[0] for _ in range(2)]
    with pytest.raises(ValueError, match="different units"):
        determinants(lins)


def test_memory_grows_with_inputs_and_with_kept_factors(unit_of: UnitOf) -> None:
    operations, shape = BRANCHES["basic"]
    lins = linearized(unit_of(operations, shape), inputs(shape)[:4])
    one, four = (together_bytes(some, keep=False) for some in (lins[:1], lins))
    assert one >= lins[0].factor_bytes(keep=False)
    assert four > 3 * one
    assert together_bytes(lins, keep=True) > four
    assert four >= sum(lin.factor_bytes(keep=False) for lin in lins)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("name", BRANCHES)
def test_a_gpu_finds_what_the_cpu_finds(unit_of: UnitOf, name: str) -> None:
    operations, shape = BRANCHES[name]
    there = UnitJacobian(unit_of(operations, shape), torch.device("cuda"))
    here = linearized(unit_of(operations, shape), inputs(shape))
    for one, lin in zip(determinants([there.at(x) for x in inputs(shape)], keep=False), here, strict=True):
        assert_alike(one, determinant(lin, keep=False))
