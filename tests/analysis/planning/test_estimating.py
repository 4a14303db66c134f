"""Units without exact measures: rectangular Jacobians, estimates, and which eigenvalues are counted."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.estimating import counts_eigenvalues
from resnet_diffeo_probe.analysis.planning.plan import make_plan
from resnet_diffeo_probe.analysis.planning.quantities import RECTANGULAR, Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.units import discover
from tests.analysis.networks import Block, Net, Sorted, Wider, images, seeded

SPECTRUM = ("rectangular_rank", "rectangular_half_logdet", "rectangular_sigma_min", "rectangular_sigma_max")


def rows(result, unit, name="input[0]"):
    return {r["quantity"]: r for r in result["measurements"] if (r["unit"], r["input"]) == (unit, name)}


def wider_jacobian(net, x):
    """The Jacobian of the second unit's sum map, the plain way."""
    net = copy.deepcopy(net).double()
    unit = net.units["1"]
    hidden = net.units["0"](F.relu(net.stem(x.double()))).detach()

    def total(v):
        return unit.shortcut(v) + unit.conv2(F.relu(unit.conv1(v)))

    return torch.autograd.functional.jacobian(total, hidden).reshape(-1, hidden.numel())


def test_a_unit_that_changes_the_dimension_has_the_numbers_of_its_dense_jacobian():
    net, x = seeded(lambda: Net(Block(2), Wider(2), width=4)), images(2)
    result = analyze(net, x, Settings(measures=(*SPECTRUM, "sign"), workers=1)).result
    for index in range(2):
        found = rows(result, "units.1", f"input[{index}]")
        sigma = torch.linalg.svdvals(wider_jacobian(net, x[index : index + 1]))
        assert found["rectangular_rank"]["value"] == 60
        assert found["rectangular_half_logdet"]["value"] == pytest.approx(
            float(sigma.log().sum()), rel=1e-4, abs=1e-3
        )
        assert found["rectangular_sigma_min"]["value"] == pytest.approx(float(sigma[-1]), rel=1e-3)
        assert found["rectangular_sigma_max"]["value"] == pytest.approx(float(sigma[0]), rel=1e-4)
        assert found["sign"]["status"] == "not_applicable"
    verdicts = {v["state"] for v in result["verdicts"] if v["unit"] == "units.1"}
    assert verdicts == {"not_applicable"}
    # asked for by name, so that the unit that keeps the dimension says that they do not exist
    assert {rows(result, "units.0")[q]["status"] for q in SPECTRUM} == {"not_applicable"}


def test_without_being_named_they_stand_at_units_that_change_the_dimension_only():
    result = analyze(
        seeded(lambda: Net(Block(2), Wider(2), width=4)), images(1), Settings(workers=1, dtype="float32")
    ).result
    assert not set(RECTANGULAR) & set(rows(result, "units.0"))
    assert set(RECTANGULAR) <= set(rows(result, "units.1"))
    quick = analyze(
        seeded(lambda: Net(Wider(2), Block(4), width=4)), images(1), Settings(budget=Budget.QUICK, workers=1)
    ).result
    assert not set(RECTANGULAR) & set(rows(quick, "units.0"))


def test_the_plan_says_beforehand_that_an_estimate_will_be_used():
    net, x = seeded(lambda: Net(Block(2), Sorted(2))), images(1, height=40, width=40)
    network = discover(net, x)
    block, sorting = make_plan(network, Settings(max_bytes=1e3)).units
    assert "estimate by Lanczos quadrature, without a sign" in block.about["if_it_does_not_fit"]
    assert sorting.about["method"] == "estimate by Lanczos quadrature"
    assert "sort" in str(sorting.estimated)
    roomy, _ = make_plan(network, Settings()).units
    assert "if_it_does_not_fit" not in roomy.about


def test_a_sample_is_counted_in_the_standard_budget_and_all_in_the_full_one():
    names = [f"{n}.png" for n in range(400)]
    counted = [name for name in names if counts_eigenvalues(Settings(), "layer1.0", name)]
    assert 25 <= len(counted) <= 80  # one in eight
    assert counted != [name for name in names if counts_eigenvalues(Settings(), "layer1.1", name)]
    assert all(counts_eigenvalues(Settings(budget=Budget.FULL), "layer1.0", name) for name in names)
    named = Settings(measures=("real_eigenvalues_below_minus_one",))
    assert all(counts_eigenvalues(named, "layer1.0", name) for name in names)
    assert isinstance(counts_eigenvalues(Settings(), "lone \ud800", "x"), bool)


def test_the_power_series_is_of_the_full_budget_and_agrees_where_it_converges():
    net = seeded(lambda: Net(Block(2, scale=0.05)))
    measures = ("logabsdet", "logabsdet_power_series")
    found = rows(analyze(net, images(1), Settings(measures=measures, workers=1)).result, "units.0")
    series = found["logabsdet_power_series"]
    assert series["evidence"] == "estimated"
    assert series["interval"][0] <= found["logabsdet"]["value"] <= series["interval"][1]
    assert "logabsdet_power_series" not in Settings().quantities
    assert "logabsdet_power_series" in Settings(budget=Budget.FULL).quantities
