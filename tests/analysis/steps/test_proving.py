"""What an analysis adds to its measures: pairs, certificates, references, the refinement test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from tests.analysis.executed import executed
from tests.analysis.networks import Block, Net, images, seeded

STANDARD = Settings(workers=2)


def folding() -> nn.Module:
    """Branches strong enough that determinants of either sign occur."""
    return seeded(lambda: Net(Block(2, scale=8.0), Block(2, scale=8.0)), seed=2)


def contracting() -> nn.Module:
    """The branches of an i-ResNet (Behrmann et al., 2019): convolutions scaled until the bound is below one."""

    class Contracting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
            with torch.no_grad():
                self.conv1.weight *= 0.3
                self.conv2.weight *= 0.3

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv2(torch.relu(self.conv1(x)))

    return seeded(lambda: Net(Contracting(), Contracting()))


def test_a_folding_unit_comes_with_a_pair_that_anybody_can_check(tmp_path: Path) -> None:
    net = folding()
    analysis = analyze(net, images(12), STANDARD)
    proven = [v for v in analysis.verdicts if v.unit and v.map == "sum" and v.state == "not_injective_proven"]
    assert proven
    saved = analysis.save_witnesses(tmp_path / "witnesses")
    listed = {entry["file"] for entry in analysis.result["witnesses"]}
    assert {path.name for path in saved} == listed
    checked = 0
    for path in saved:
        pair = np.load(path, allow_pickle=False)
        block = net.double().get_submodule(str(pair["unit"]))
        x1, x2 = (torch.from_numpy(pair[key]).reshape(1, 2, 6, 5) for key in ("x1", "x2"))
        with torch.no_grad():
            if str(pair["map"]) == "unit":
                y1, y2 = block(x1), block(x2)
            else:
                y1, y2 = (x + block.conv2(torch.relu(block.conv1(x))) for x in (x1, x2))
                checked += 1
        apart = float((x1 - x2).norm())
        assert apart >= 1e-6 * float(x1.norm())
        assert float((y1 - y2).norm()) <= 1e-9 * apart
    assert checked >= 1


def test_contracting_branches_are_certified_and_have_no_pair() -> None:
    analysis = analyze(contracting(), images(3), STANDARD)
    of_units = [v for v in analysis.verdicts if v.unit is not None]
    assert {v.state.value for v in of_units} == {"certified_injective"}
    assert analysis.witnesses == ()
    certificates = [c for c in analysis.result["certificates"] if c["scope"] == "global"]
    assert [c["holds"] for c in certificates] == [True, True]
    assert all(c["lipschitz_lower"] <= c["lipschitz_upper"] < 1 for c in certificates)


def test_every_measured_unit_has_its_place_among_the_references() -> None:
    analysis = analyze(folding(), images(4), STANDARD)
    places = analysis.result["references"]
    assert [place["unit"] for place in places] == ["units.0", "units.1"]
    for place in places:
        assert place["nearest"] in "abcd"
        assert all(0 <= p <= 100 for of_net in place["percentiles"].values() for p in of_net.values())
        assert "inverse_consistency" in place["summaries"]


def test_refining_a_unit_without_a_branch_changes_nothing() -> None:
    net = seeded(lambda: Net(Block(2, scale=0.0), Block(2, scale=2.0)))
    with torch.no_grad():
        net.units["0"].conv2.bias.zero_()
    rows = analyze(net, images(4), STANDARD).result["refinement"]
    still = [row for row in rows if row["unit"] == "units.0"]
    assert still and all(row["agreement"] == 1.0 and row["logit_change"] < 1e-6 for row in still)
    moved = [row for row in rows if row["unit"] == "units.1"]
    assert any(row["logit_change"] > 1e-3 for row in moved)


def test_the_full_budget_looks_for_two_images_with_the_same_features(tmp_path: Path) -> None:
    net = folding()
    analysis = analyze(net, images(2, height=8, width=8), Settings(budget=Budget.FULL, workers=1))
    found = analysis.result["pixel_pair"]
    assert analyze(net, images(1), STANDARD).result["pixel_pair"] is None
    assert found["is_proof"] == (analysis.pixel_pair is not None)
    assert found["is_proof"] or found["reason"]
    if analysis.pixel_pair is None:
        pytest.fail(f"2 channels cannot keep 3 apart: {found['reason']}")
    path = next(p for p in analysis.save_witnesses(tmp_path) if p.name == found["file"])
    pair = np.load(path, allow_pickle=False)
    x1, x2 = (torch.from_numpy(pair[key]).reshape(1, 3, 8, 8) for key in ("x1", "x2"))
    with torch.no_grad():
        y1, y2 = (net.double()(x) for x in (x1, x2))
    assert float((y1 - y2).norm()) <= 1e-8 * float((x1 - x2).norm())


def test_a_quick_budget_or_named_measures_search_for_nothing() -> None:
    for settings in (Settings(budget=Budget.QUICK, workers=1), Settings(measures=("sign",), workers=1)):
        result = analyze(folding(), images(3), settings).result
        assert (result["witnesses"], result["certificates"], result["refinement"]) == ([], [], [])


def test_named_detailed_measures_are_made_at_every_input() -> None:
    settings = Settings(measures=("inverse_error_exact", "certified_radius_l2"), workers=1)
    result = analyze(contracting(), images(3), settings).result
    assert {r["quantity"] for r in result["measurements"]} == {"inverse_error_exact", "certified_radius_l2"}
    rows = [
        r for r in result["measurements"] if r["quantity"] == "inverse_error_exact" and r["unit"] == "units.0"
    ]
    assert [r["input"] for r in rows] == ["input[0]", "input[1]", "input[2]"]
    assert all(r["value"] < 1e-12 for r in rows)


def test_proofs_are_the_same_whatever_the_number_of_workers() -> None:
    first, second = (analyze(folding(), images(6), Settings(workers=workers)) for workers in (1, 2))
    for key in ("measurements", "verdicts", "witnesses", "certificates", "references", "refinement"):
        assert first.result[key] == second.result[key], key


def test_an_interrupt_during_the_proofs_keeps_the_measures() -> None:
    def stop(unit: str) -> None:
        raise KeyboardInterrupt

    analysis = analyze(folding(), images(3), STANDARD, execution=executed(proven=stop))
    assert analysis.interrupted
    assert {row["input"] for row in analysis.result["measurements"]} == {"input[0]", "input[1]", "input[2]"}


@pytest.mark.parametrize("dtype", ["float32"])
def test_float32_measures_are_no_ground_for_proofs(dtype: str) -> None:
    result = analyze(folding(), images(3), Settings(dtype=dtype, workers=1)).result
    assert result["witnesses"] == []


def test_what_costs_too_much_is_searched_by_counted_operations_and_in_the_full_budget_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resnet_diffeo_probe.analysis.steps.proving._COSTLY_GIGAFLOPS", -1.0)
    assert analyze(folding(), images(8), STANDARD).witnesses == ()
    full = Settings(workers=2, budget=Budget.FULL)
    assert analyze(folding(), images(8), full).witnesses
