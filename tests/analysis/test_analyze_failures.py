"""What goes wrong in an analysis goes wrong alone: a unit, an input, a measurement, an interrupt."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import validate
from tests.analysis.executed import executed

from .analyzed import QUICK, rows, unit, verdict
from .networks import Block, Net, Sorted, Wider, images, seeded


def test_a_branch_out_of_reach_has_estimates_no_sign_and_names_the_operation():
    analysis = analyze(
        seeded(lambda: Net(Block(2), Sorted(2), Block(2))), images(2, height=40, width=40), QUICK
    )
    sorting = unit(analysis, "units.1")
    assert sorting["status"] == "not_run"
    assert "sort" in sorting["reason"]
    assert (sorting["planned"], sorting["done"]) == (2, 0)
    assert sorting["plan"]["method"] == "estimate by Lanczos quadrature"
    for row in rows(analysis, unit="units.1", quantity="logabsdet"):
        assert row["evidence"] == "estimated"
        assert row["interval"][0] <= row["value"] <= row["interval"][1]
        assert "sort" in row["reason"]
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="sign")} == {"not_run"}
    # the magnitude of a determinant, however well known, is never taken for a sign
    assert verdict(analysis, "units.1")["state"] == "not_run"
    assert "sort" in verdict(analysis, "units.1")["sentence"]
    assert [unit(analysis, f"units.{i}")["status"] for i in (0, 2)] == ["complete", "complete"]
    assert not analysis.complete


def test_a_unit_that_changes_the_dimension_is_not_applicable_and_no_failure():
    analysis = analyze(seeded(lambda: Net(Block(2), Wider(2), width=4)), images(2), QUICK)
    wider = unit(analysis, "units.1")
    assert wider["status"] == "not_applicable"
    assert "2 × 6 × 5 to 4 × 6 × 5" in wider["reason"]
    assert {v["state"] for v in analysis.result["verdicts"] if v["unit"] == "units.1"} == {"not_applicable"}
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="sign")} == {"not_applicable"}
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="clipped_fraction")} == {"ok"}
    assert analysis.complete


def test_a_unit_whose_preparation_fails_leaves_the_others_alone(monkeypatch):
    from resnet_diffeo_probe.jacobian import UnitJacobian

    prepare = UnitJacobian.prepare

    def fail_at_one(self):
        if self.name == "units.1":
            raise MemoryError("no room for the row blocks")
        prepare(self)

    monkeypatch.setattr(UnitJacobian, "prepare", fail_at_one)
    analysis = analyze(seeded(lambda: Net(Block(2), Block(2))), images(2), QUICK)
    assert [u["status"] for u in analysis.result["units"]] == ["complete", "not_run"]
    assert "no room for the row blocks" in unit(analysis, "units.1")["reason"]


def test_one_measurement_that_fails_is_a_row_and_the_run_goes_on(monkeypatch):
    from resnet_diffeo_probe.analysis.measuring import pair

    measure, calls = pair.measure, []

    def fail_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("a surprise in <b>one</b> measurement")
        return measure(*args, **kwargs)

    monkeypatch.setattr(pair, "measure", fail_once)
    analysis = analyze(seeded(lambda: Net(Block(2))), images(3), QUICK)
    found = rows(analysis, quantity="sign")
    assert [row["status"] for row in found].count("error") == 1
    lost = next(row for row in found if row["status"] == "error")
    assert lost["value"] is None
    assert "a surprise in <b>one</b> measurement" in lost["reason"]
    assert lost["evidence"] == "failed"
    entry = unit(analysis, "units.0")
    assert (entry["status"], entry["planned"], entry["done"]) == ("partial", 3, 2)
    assert "a surprise" in entry["reason"]
    # what one forward pass tells was known before the failure
    assert {row["status"] for row in rows(analysis, quantity="residual_ratio")} == {"ok"}
    assert "not computed" in verdict(analysis, "units.0")["sentence"]
    assert not analysis.complete


class Exploding(nn.Module):
    """Overflows where the first pixel of an input is large."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, padding=1)
        self.unit = Block(2)

    def forward(self, x):
        x = F.relu(self.stem(x)) + torch.exp(x[:, :1, :1, :1] * 500)
        return self.unit(x).mean((2, 3))


def test_an_input_at_which_the_network_overflows_is_an_error_row():
    x = images(3)
    x[:, :, 0, 0] = -1
    x[1, :, 0, 0] = 2  # exp(1000) is infinite in float64 too
    analysis = analyze(seeded(Exploding), x, Settings(workers=1))
    states = {row["input"]: row["status"] for row in rows(analysis, quantity="sign")}
    assert states == {"input[0]": "ok", "input[1]": "error", "input[2]": "ok"}
    assert "NaN or infinity" in rows(analysis, input="input[1]", quantity="sign")[0]["reason"]
    json.dumps(analysis.result, allow_nan=False)


def test_too_little_memory_is_said_with_what_would_be_needed():
    settings = Settings(budget=Budget.STANDARD, workers=2, max_bytes=2000)
    analysis = analyze(seeded(lambda: Net(Block(2))), images(2), settings)
    for quantity in ("sign", "logabsdet", "sigma_min"):
        for row in rows(analysis, quantity=quantity):
            assert row["status"] == "not_run"
            assert "GiB" in row["reason"]
    # what needs no factors is there
    assert {row["status"] for row in rows(analysis, quantity="sigma_max")} == {"ok"}
    assert unit(analysis, "units.0")["status"] == "not_run"
    assert verdict(analysis, "units.0")["state"] == "not_run"
    assert not analysis.complete


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("after", [1, 3, 7])
def test_an_interrupt_keeps_what_was_measured(after, workers):
    reported = []

    def interrupt(progress):
        reported.append((progress.unit, progress.input))
        if len(reported) >= after:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    net = seeded(lambda: Net(Block(2), Block(2)))
    analysis = analyze(
        net, images(6), Settings(budget=Budget.QUICK, workers=workers), execution=executed(measured=interrupt)
    )
    validate(analysis.result)
    assert analysis.interrupted
    assert not analysis.complete
    kept = {(row["unit"], row["input"]) for row in rows(analysis, quantity="sign")}
    assert set(reported) <= kept
    assert len(reported) == after  # nothing is reported after the interrupt
    assert len(kept) < 12
    assert {u["status"] for u in analysis.result["units"]} <= {"partial", "not_run", "complete"}
    assert sum(u["done"] for u in analysis.result["units"]) == len(kept)
    assert any(u["reason"] == "the run was interrupted" for u in analysis.result["units"])
    assert torch.get_num_threads() == threads
