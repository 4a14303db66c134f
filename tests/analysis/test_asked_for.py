"""Settings: what was asked for is measured, and what makes no sense is refused with a way out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES, Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError, InputsError, NoUnitError
from tests.analysis.executed import executed

from .analyzed import QUICK, unit, verdict
from .networks import Block, Net, Sorted, images, seeded


def test_left_out_units_are_listed_and_no_failure():
    net = seeded(lambda: Net(Block(2), Block(2), Block(2), names=["first", "second", "third"]))
    analysis = analyze(
        net, images(2), Settings(units=("*.first", "units.th?rd"), budget=Budget.QUICK, workers=1)
    )
    assert {u["name"]: u["status"] for u in analysis.result["units"]} == {
        "units.first": "complete", "units.second": "not_run", "units.third": "complete",
    }  # fmt: skip
    assert unit(analysis, "units.second")["reason"] == "left out by --units"
    assert analysis.complete


def test_only_what_was_asked_for_is_measured():
    net = seeded(lambda: Net(Block(2)))
    analysis = analyze(net, images(1), Settings(measures=("clipped_depth", "sign"), workers=1))
    assert [row["quantity"] for row in analysis.result["measurements"]] == ["sign", "clipped_depth"]
    assert verdict(analysis, "units.0", "unit")["state"] in ("not_injective_proven", "undetermined")
    without = analyze(net, images(1), Settings(measures=("residual_ratio",), workers=1))
    assert verdict(without, "units.0")["state"] == "not_run"
    assert "not measured" in verdict(without, "units.0")["sentence"]


def test_float32_is_used_and_said():
    analysis = analyze(seeded(lambda: Net(Block(2))), images(1), Settings(dtype="float32", workers=1))
    assert {row["dtype"] for row in analysis.result["measurements"] if row["quantity"] == "sign"} == {
        "float32"
    }
    assert analysis.result["tool"]["dtype"] == "float32"
    assert "float32" in verdict(analysis, "units.0")["arithmetic"]


def test_a_network_without_units_names_the_nearest_misses():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return torch.cat([x, F.relu(self.conv(x))], 1)

    with pytest.raises(NoUnitError) as caught:
        analyze(seeded(Joined), images(1), QUICK)
    assert "torch.cat" in caught.value.why
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 4, 6, 5), torch.zeros(2, 7), torch.zeros(0, 3, 6, 5), torch.tensor(1.0)]
)
def test_inputs_that_do_not_fit_the_model_are_an_error_of_the_users(x):
    with pytest.raises(DiffeoProbeError) as caught:
        analyze(seeded(lambda: Net(Block(2))), x, QUICK)
    assert caught.value.exit_code == 3


def test_the_plan_is_announced_before_anything_is_measured():
    order = []
    analyze(
        seeded(lambda: Net(Block(2), Sorted(2))),
        images(1, height=40, width=40),
        QUICK,
        execution=executed(
            planned=lambda plan: order.append([p.unit.name for p in plan.units]),
            measured=lambda progress: order.append(progress.unit),
        ),
    )
    assert order[0] == ["units.0", "units.1"]
    assert sorted(order[1:]) == ["units.0", "units.1"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"measures": ("sgin",)}, "did you mean sign"),
        ({"measures": ("sign", "")}, "--measures"),
        ({"dtype": "float16"}, "float64"),
        ({"workers": 0}, "--workers"),
        ({"max_bytes": 0.0}, "--max-memory"),
        ({"max_bytes": -1.0}, "--max-memory"),
        ({"max_bytes": float("nan")}, "--max-memory"),
        ({"max_bytes": float("inf")}, "--max-memory"),
        ({"seed": -1}, "--seed"),
        ({"seed": 2**63}, "--seed"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_way_out(wrong, said):
    with pytest.raises(ConfigurationError) as caught:
        Settings(**wrong)
    assert said in caught.value.fix
    assert caught.value.exit_code == 2


def test_every_pattern_has_to_match_a_unit():
    net = seeded(lambda: Net(Block(2), Block(2), names=["first", "second"]))
    for patterns in (("units.frist",), ("units.second", "units.frist")):
        with pytest.raises(ConfigurationError) as caught:
            analyze(net, images(1), Settings(units=patterns))
        assert "'units.frist' matches none of the 2 units" in caught.value.what
        assert caught.value.fix == "--units 'units.first'"


def test_settings_fill_themselves_in():
    settings = Settings()
    assert settings.threads >= 1
    assert settings.memory > 1e8
    assert set(QUICK.quantities) < set(settings.quantities) < set(QUANTITIES)
    assert Settings(budget=Budget.FULL).quantities == QUANTITIES
    assert Settings(measures=("logabsdet", "sign")).quantities == ("sign", "logabsdet")


def test_result_errors_are_of_this_package():
    assert issubclass(InputsError, DiffeoProbeError)
