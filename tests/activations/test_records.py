"""Every record of the registry against the function itself: dense samples in float64, whatever is registered."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_diffeo_probe.activations import FAMILIES, Activation, Family, Parameter, bound

# torch keeps some constants in float32, and switches formulas where that changes less
ROUNDING = 2.0**-23
CASES = [(each, args) for each in FAMILIES for args in each.examples]
NAMES = [f"{each.name}({', '.join(map(str, args))})" for each, args in CASES]


def function(each: Family, args: tuple[Any, ...]) -> Any:
    """The torch function with its arguments; a weight becomes the tensor that torch wants."""
    target = each.spelled
    if target is None:
        target = next(f for place in (F, torch) if (f := getattr(place, each.name, None)) is not None)
    if each.name == "prelu":
        args = tuple(torch.tensor([arg], dtype=torch.float64) for arg in args)
    names = each.parameters[: len(args)]
    positional = [value for value, p in zip(args, names, strict=True) if not p.keyword]
    named = {p.name: value for value, p in zip(args, names, strict=True) if p.keyword}
    return lambda z: target(z, *positional, **named)


def record(each: Family, args: tuple[Any, ...]) -> Activation:
    named = {p.name: value for value, p in zip(args, each.parameters, strict=False)}
    return each.bind((), named)


def derivative(f: Any, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0]


def samples(found: Activation) -> Tensor:
    """A grid with much room on both sides, and points close to every kink, none of them on one."""
    grid = torch.linspace(-30.0005, 30.0, 600_001, dtype=torch.float64)
    near = torch.logspace(-9, 0, 400, dtype=torch.float64)
    points = [grid, *(kink + side * near for kink in found.kinks or () for side in (-1, 1))]
    z = torch.cat(points).sort().values
    return z[torch.stack([z != kink for kink in found.kinks or (math.inf,)]).all(dim=0)]


def tolerance(values: Tensor) -> Tensor:
    return ROUNDING * values.abs().clamp_min(1.0)


@pytest.fixture(params=CASES, ids=NAMES)
def case(request: Any) -> tuple[Any, Activation]:
    each, args = request.param
    found = record(each, args)
    assert found.known, "an example is to be one that is known"
    return function(each, args), found


def test_slopes_hold_for_derivatives_and_secants_and_are_tight(case: tuple[Any, Activation]) -> None:
    f, found = case
    z = samples(found)
    slope, y = derivative(f, z), f(z)
    if not found.continuous:
        assert found.slopes is None  # secants across a jump have any slope
        return
    low, high = found.slopes or (math.nan, math.nan)
    assert float(slope.min()) >= low * (1 + 1e-7 * math.copysign(1, -low)) - 1e-15
    assert float(slope.max()) <= high * (1 + 1e-7 * math.copysign(1, high)) + 1e-15
    wide = y[1:] - y[:-1], z[1:] - z[:-1]
    room = 2 * tolerance(y[1:])
    assert bool((wide[0] <= high * wide[1] + room).all()) if high < math.inf else True
    assert bool((wide[0] >= low * wide[1] - room).all()) if low > -math.inf else True
    if math.isfinite(high):
        assert high <= float(slope.max()) + 1e-3 * max(1.0, abs(high))
    else:
        assert float(slope.max()) > 50
    if math.isfinite(low):
        assert low >= float(slope.min()) - 2e-3 * max(1.0, abs(low))
    else:
        assert float(slope.min()) < -50


def test_kinks_are_where_the_one_sided_slopes_or_values_differ(case: tuple[Any, Activation]) -> None:
    f, found = case
    for kink in found.kinks or ():
        sides = torch.tensor([kink - 1e-9, kink + 1e-9], dtype=torch.float64)
        left, right = derivative(f, sides).tolist()
        below, above = f(sides).tolist()
        assert abs(left - right) > 1e-3 or abs(below - above) > 1e-3
    # between them the derivative moves with the argument: no jump that a grid ten times finer does not resolve
    edges = [-30.0, *(found.kinks or ()), 30.0]
    for first, last in pairwise(edges):
        coarse, fine = (torch.linspace(first, last, n, dtype=torch.float64)[1:-1] for n in (20_001, 200_001))
        jumps = [
            float((s := derivative(f, z)).diff().abs().max() / s.abs().max().clamp_min(1e-30))
            for z in (coarse, fine)
        ]
        assert jumps[1] <= max(0.3 * jumps[0], 4 * ROUNDING)


def test_it_is_continuous_exactly_where_it_says_so(case: tuple[Any, Activation]) -> None:
    f, found = case
    jumps = []
    for kink in (
        *(found.kinks or ()),
        0.0,
        20.0,
        10.0,
        15.0,
    ):  # softplus may change its formula at the latter
        sides = torch.tensor([kink, kink - 1e-12, kink + 1e-12], dtype=torch.float64)
        values = f(sides)
        jumps.append(float((values - values[0]).abs().max() / max(1.0, abs(float(values[0])))))
    assert found.continuous is (max(jumps) <= ROUNDING)


def test_curvature_bounds_how_fast_the_derivative_moves(case: tuple[Any, Activation]) -> None:
    f, found = case
    if found.curvature is None:
        assert found.kinks or found.steepest is None, "a smooth function with bounded slope has a curvature"
        return
    z = samples(found)
    slope = derivative(f, z)
    moved, apart = slope.diff().abs(), z.diff()
    assert bool((moved <= found.curvature * apart + 4 * tolerance(slope[1:])).all())
    # and no more than it has to: the fastest move over a thousandth
    z = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    fastest = float((derivative(f, z).diff().abs() / z.diff()).max())
    assert found.curvature <= 1.005 * fastest + 1e-3


def test_injective_where_it_says_so_and_nowhere_else(case: tuple[Any, Activation]) -> None:
    f, found = case
    # flat pieces are held by the test on constants: what is left is whether it turns
    steps = f(torch.linspace(-30.0003, 30.0, 60_001, dtype=torch.float64)).diff()
    turns = bool((steps > 1e-12).any() and (steps < -1e-12).any())
    assert found.injective is (not turns and not found.constants)


def test_constants_are_the_whole_intervals_on_which_it_is_constant(case: tuple[Any, Activation]) -> None:
    f, found = case
    z = samples(found)
    inside = torch.zeros_like(z, dtype=torch.bool)
    for low, high, value in found.constants or ():
        ends = [end for end in (low, high) if math.isfinite(end)]
        assert ends
        here = (z >= low) & (z <= high)
        assert bool((f(z[here]) == value).all())
        closed = torch.tensor(ends, dtype=torch.float64)
        assert bool((f(closed) == value).all())
        inside |= here
    # away from what saturates in float64, every flat piece is listed
    shown = ~inside & (z.abs() < 4)
    assert bool((derivative(f, z[shown]) != 0).double().mean() > 0.999)


def test_piecewise_linear_where_it_says_so(case: tuple[Any, Activation]) -> None:
    f, found = case
    edges = [-12.0, *(found.kinks or ()), 12.0]
    bent = []
    for first, last in pairwise(edges):
        slopes = derivative(f, torch.linspace(first, last, 1001, dtype=torch.float64)[1:-1])
        bent.append(float(slopes.max() - slopes.min()) > 1e-6)
    assert found.piecewise_linear is (bool(found.continuous) and not any(bent))
    if found.slopes_as_given:
        values = set(derivative(f, samples(found)).unique().tolist())
        given = {float(a) for a in found.arguments if isinstance(a, (int, float))}
        given |= {float(part) for a in found.arguments if isinstance(a, tuple) for part in a}
        assert values <= {0.0, 1.0, -1.0} | given


def test_every_record_names_its_source_and_is_shown_by_its_module(case: tuple[Any, Activation]) -> None:
    _, found = case
    assert found.source
    each = next(each for each in FAMILIES if each.name == found.name)
    if each.module is not None:
        assert issubclass(getattr(nn, each.module), nn.Module)
        assert found.display == each.module


@pytest.mark.parametrize("each", FAMILIES, ids=lambda each: each.name)
def test_all_spellings_are_one_record(each: Family) -> None:
    args = each.examples[-1]
    given = {p.name: value for value, p in zip(args, each.parameters, strict=False)}
    expected = each.bind((), given)
    for name in (each.name, *each.also):
        for spelled in (name, f"{name}_", f"{name}.default", f"aten::{name}", f"aten::{name}_"):
            assert bound(spelled, (), given) == expected
        assert bound(name, (), given | {"inplace": True}) == expected


def test_names_are_nobody_elses() -> None:
    names = [name for each in FAMILIES for name in (each.name, *each.also)]
    assert len(names) == len(set(names))
    assert all(isinstance(p, Parameter) for each in FAMILIES for p in each.parameters)


class OwnNumber(float):
    """A number that may do anything."""


ODD = [
    math.nan,
    math.inf,
    -math.inf,
    True,
    "1",
    None,
    OwnNumber(0.5),
    torch.tensor(0.5),
    torch.ones(3),
    [0.5],
]


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (each.name, p.name)
        for each in FAMILIES
        for p in each.parameters
        if (each.name, p.name) != ("rrelu", "training")
    ],
)
def test_odd_arguments_are_unknown_and_never_the_default(name: str, parameter: str, odd: Any) -> None:
    if name.startswith("clamp") or name == "hardtanh":
        unbounded = {"min": -math.inf, "min_val": -math.inf, "max": math.inf, "max_val": math.inf}[parameter]
        if odd is None or (isinstance(odd, float) and odd == unbounded):
            return  # no bound on this side
    others = {p.name: 0.5 for p in FAMILIES_BY_NAME[name].parameters if p.name != parameter}
    found = bound(name, (), others | {parameter: odd})
    assert not found.known
    assert found.slopes is found.injective is found.continuous is found.constants is found.steepest is None
    assert found.arguments == ()


FAMILIES_BY_NAME = {each.name: each for each in FAMILIES}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("elu", (1.0, 2.0)),
        ("leaky_relu", ()),
        ("celu", (0.0,)),
        ("softplus", (0.0,)),
        ("softshrink", (-1.0,)),
        ("clamp", (2.0, 1.0)),
        ("hardtanh", (1.0, 1.0)),
        ("clamp", ()),
        ("rrelu", (0.1, 0.3, True)),
        ("prelu", ()),
        ("gelu", ("other",)),
        ("softmax", ()),
        ("my_own", ()),
    ],
)
def test_what_no_rule_covers_is_unknown(name: str, args: tuple[Any, ...]) -> None:
    if (name, args) == ("leaky_relu", ()):
        assert not bound(name, (), {"slope": 0.1}).known  # a keyword that torch does not have
        return
    assert not bound(name, args).known


def test_no_torch_is_needed() -> None:
    code = "import sys; import resnet_diffeo_probe.activations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
