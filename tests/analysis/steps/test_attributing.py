"""The attribution of a result: what is chosen, what is stored, and what is a reason."""

import copy
import json

import pytest
import torch
from torch import nn

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import ResultError, validate
from resnet_diffeo_probe.analysis.steps.attributing import COMPLETENESS_LIMIT, folds_of, negative_shares_of
from resnet_diffeo_probe.analysis.steps.attribution_extent import extent_of, stratified
from resnet_diffeo_probe.attribution import (
    Baseline,
    Fold,
    NotAttributableError,
    TappedNetwork,
    baseline_input,
)
from resnet_diffeo_probe.bijectivity import State, Verdict
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from resnet_diffeo_probe.units import discover
from tests.analysis.networks import Block, Net


def _inputs(count, labels=None, shape=(3, 5, 5)):
    return Inputs(
        rows=TensorRows(torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))),
        names=tuple(f"{i}.png" for i in range(count)),
        labels=labels,
        classes=tuple(sorted(set(labels))) if labels else None,
        skipped=(),
        kind="images",
        source="here",
        preprocessing=Preprocessing((0.5,), (0.25,)),
        seed=0,
    )


def _net(scales=(1.0, 6.0, 1.0, 6.0)):
    torch.manual_seed(3)
    return Net(*(Block(2, scale) for scale in scales)).eval()


@pytest.fixture(scope="module")
def result():
    """Four blocks, two of them with strong branches, at six inputs of three classes."""
    model = _net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    found = analyze(model, _inputs(6, labels=("a", "a", "b", "b", "b", "c")), Settings(workers=1)).result
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    return found


def test_every_unit_and_input_has_its_row(result):
    stored = result["attribution"]
    assert stored["reason"] is None
    assert [entry["input"] for entry in stored["inputs"]] == result["inputs"]["names"]
    assert len(stored["rows"]) == 4 * 6
    for row in stored["rows"]:
        at = next(entry for entry in stored["inputs"] if entry["input"] == row["input"])
        change = at["logit"] - at["baseline_logit"]
        assert row["total"] - change == pytest.approx(row["completeness_error"], abs=1e-5)
        if abs(row["completeness_error"]) <= COMPLETENESS_LIMIT * abs(change):
            assert row["share"] == pytest.approx(row["branch"] / change, rel=1e-4)
        else:
            assert row["share"] is None
        assert row["class_changes"] == (row["predicted_without"] != at["predicted"])


def test_summaries_are_those_of_the_rows(result):
    stored = result["attribution"]
    for unit in stored["units"]:
        rows = [row for row in stored["rows"] if row["unit"] == unit["unit"]]
        values = sorted(row["branch"] for row in rows)
        assert unit["branch"] == {
            "median": pytest.approx((values[2] + values[3]) / 2),
            "least": values[0],
            "greatest": values[-1],
            "count": 6,
        }
        assert unit["class_changes"] == sum(row["class_changes"] for row in rows)
        assert unit["completeness_error"] == max(abs(row["completeness_error"]) for row in rows)


def test_the_sentence_speaks_of_the_verdicts(result):
    judged = result["attribution"]["relevance"]
    proven = [
        v["unit"]
        for v in result["verdicts"]
        if v["map"] == "sum" and v["unit"] and v["state"] == "not_injective_proven"
    ]
    assert set(proven) <= set(judged["folding"])
    assert set(judged["compared"]) == {unit["name"] for unit in result["units"]}
    assert judged["by_number"] == len(judged["folding"]) / 4
    assert judged["sentence"].endswith(".")


def test_maps_are_a_handful_of_small_pictures(result):
    stored = result["attribution"]
    drawn = [entry for entry in stored["maps"] if entry["picture"]]
    assert {entry["of"] for entry in drawn} == {"clipped_energy", "narrow_direction"}
    assert len({entry["unit"] for entry in drawn}) == 3
    assert len({entry["input"] for entry in drawn}) == 1
    assert {entry["input"] for entry in stored["images"]} == {entry["input"] for entry in drawn}
    assert all(len(entry["picture"]["png"]) < 20_000 for entry in drawn)
    # the branches are piecewise linear
    reasons = {entry["reason"] for entry in stored["maps"] if entry["of"] == "log_sigma_min"}
    assert reasons == {"the branch is linear around the input: log σ_min does not change with it"}


def test_it_is_the_same_again(result):
    again = analyze(_net(), _inputs(6, labels=("a", "a", "b", "b", "b", "c")), Settings(workers=1)).result
    assert json.dumps(again["attribution"]) == json.dumps(result["attribution"])


def test_the_full_budget_maps_more(result):
    found = analyze(
        _net(), _inputs(6, labels=("a", "a", "b", "b", "b", "c")), Settings(workers=1, budget=Budget.FULL)
    )
    drawn = [entry for entry in found.result["attribution"]["maps"] if entry["picture"]]
    assert len({entry["unit"] for entry in drawn}) == 4
    assert len({entry["input"] for entry in drawn}) == 3


@pytest.mark.parametrize("settings", [Settings(budget=Budget.QUICK), Settings(measures=("sign",))])
def test_it_is_left_out_where_it_was_not_asked_for(settings):
    assert analyze(_net((1.0,)), _inputs(1), settings).result["attribution"] is None


def test_without_logits_it_is_a_reason_and_maps_remain():
    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 2, 3, padding=1)
            self.unit = Block(2)

        def forward(self, x):
            return self.unit(self.stem(x).relu())

    torch.manual_seed(0)
    stored = analyze(Features().eval(), _inputs(2), Settings(workers=1)).result["attribution"]
    assert stored["reason"] == "the network's output is no table of logits, one row an input"
    assert stored["inputs"] == stored["rows"] == stored["units"] == []
    assert stored["relevance"] is None
    assert any(entry["picture"] for entry in stored["maps"])


def test_smooth_branches_have_gradients_of_log_sigma_min():
    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return x + self.conv2(torch.tanh(self.conv1(x)))

    torch.manual_seed(0)
    stored = analyze(Net(Smooth(), Smooth()).eval(), _inputs(2), Settings(workers=1)).result["attribution"]
    drawn = {entry["of"] for entry in stored["maps"] if entry["picture"]}
    assert drawn == {"log_sigma_min"}
    reasons = {entry["reason"] for entry in stored["maps"] if entry["of"] == "clipped_energy"}
    assert reasons == {"no activation follows the addition, which clips no coordinate"}


def test_a_program_exported_for_one_input_is_a_reason():
    exported = torch.export.export(_net((1.0, 1.0)), (torch.randn(1, 3, 5, 5),)).module()
    stored = analyze(exported, _inputs(1), Settings(workers=1)).result["attribution"]
    assert "one size only" in stored["reason"]
    assert stored["reason"] == stored["maps_reason"]


def test_inputs_that_are_no_images_have_no_maps():
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 4)

        def forward(self, x):
            return torch.relu(x + self.b(torch.relu(self.a(x))))

    torch.manual_seed(0)
    model = nn.Sequential(Unit(), Unit(), nn.Linear(4, 3)).eval()
    stored = analyze(model, torch.randn(3, 4), Settings(workers=1)).result["attribution"]
    assert stored["reason"] is None
    assert len(stored["rows"]) == 6
    assert stored["images"] == stored["maps"] == []


def test_classes_take_turns():
    labels = ("a",) * 6 + ("b",) * 2 + ("c",) * 4
    assert stratified(_inputs(12, labels), 3) == (0, 6, 8)
    assert stratified(_inputs(12, labels), 7) == (0, 1, 2, 6, 7, 8, 9)
    assert stratified(_inputs(12, labels), 12) == tuple(range(12))
    assert stratified(_inputs(12, labels), 2) == (0, 6)
    assert stratified(_inputs(10), 4) == (0, 2, 5, 7)
    assert stratified(_inputs(3), 3) == (0, 1, 2)


def test_the_extent_keeps_to_the_operations(monkeypatch):
    network = TappedNetwork(discover(_net((1.0,)), torch.randn(1, 3, 5, 5)))
    batch = _inputs(20)
    assert extent_of(network, batch, Budget.STANDARD).inputs == stratified(batch, 8)
    assert extent_of(network, batch, Budget.STANDARD).most_steps == 512
    assert len(extent_of(network, batch, Budget.FULL).inputs) == 16
    # stem and branch, 25 positions, two operations a product; head
    forward = 2 * 25 * (3 * 2 * 9 + 2 * 2 * 2 * 9) + 2 * 2 * 2
    for allowed, inputs, steps in (
        (3 * forward * 65 * 6, 6, 64),
        (3 * forward * 33 * 5, 5, 32),
        (3 * forward * 33, 1, 32),
    ):
        monkeypatch.setattr(
            "resnet_diffeo_probe.analysis.steps.attribution_extent._OPERATIONS",
            dict.fromkeys(Budget, float(allowed)),
        )
        found = extent_of(network, batch, Budget.STANDARD)
        assert (len(found.inputs), found.steps, found.most_steps) == (inputs, steps, steps)
    monkeypatch.setattr(
        "resnet_diffeo_probe.analysis.steps.attribution_extent._OPERATIONS", dict.fromkeys(Budget, 1.0)
    )
    with pytest.raises(NotAttributableError, match="--budget full"):
        extent_of(network, batch, Budget.STANDARD)
    assert len(extent_of(network, batch, Budget.FULL).inputs) == 1


def test_maps_keep_to_the_operations(monkeypatch):
    monkeypatch.setattr(
        "resnet_diffeo_probe.analysis.steps.attribution_extent._OPERATIONS", dict.fromkeys(Budget, 1.0)
    )
    stored = analyze(_net((1.0, 1.0)), _inputs(3), Settings(workers=1, budget=Budget.FULL)).result[
        "attribution"
    ]
    assert len({(entry["unit"], entry["input"]) for entry in stored["maps"]}) == 1


def test_folds_come_from_the_sum_maps():
    def verdict(unit, state, which="sum", **counts):
        return Verdict(unit, which, state, "", counts={"positive": 0, "negative": 0, **counts})

    verdicts = [
        verdict("a", State.NOT_INJECTIVE_PROVEN, positive=1, negative=3),
        verdict("a", State.NO_VIOLATION_FOUND, "unit"),
        verdict("b", State.NO_VIOLATION_FOUND, negative=2),
        verdict("c", State.NO_VIOLATION_FOUND, positive=2),
        verdict("d", State.CERTIFIED_INJECTIVE),
        verdict("e", State.UNDETERMINED),
        verdict("f", State.NOT_APPLICABLE),
        verdict("g", State.NOT_RUN),
        verdict(None, State.NOT_INJECTIVE_PROVEN),
    ]
    folds = folds_of(verdicts)
    assert folds == {"a": Fold.PROVEN, "b": Fold.NEGATIVE, "c": Fold.NOT_SEEN, "d": Fold.NOT_SEEN}
    assert negative_shares_of(verdicts, folds) == {"a": 0.75, "b": 1.0, "c": 0.0, "d": 0.0}


def test_baselines():
    x = torch.ones(2, 3, 4, 4)
    pre = Preprocessing((0.5, 0.25, 0.0), (0.25, 0.5, 1.0))
    assert torch.equal(baseline_input(Baseline.ZERO, x, pre), torch.zeros_like(x))
    black = baseline_input(Baseline.BLACK, x, pre)
    assert black[:, :, 0, 0].tolist() == [[-2.0, -0.5, 0.0]] * 2
    with pytest.raises(NotAttributableError, match="no images"):
        baseline_input(Baseline.BLACK, torch.ones(2, 5), pre)


def test_the_user_chooses_the_baseline():
    found = analyze(_net((1.0,)), _inputs(1), Settings(workers=1, baseline=Baseline.BLACK)).result
    stored = found["attribution"]
    assert stored["baseline"]["name"] == found["tool"]["configuration"]["baseline"] == "black"
    with torch.no_grad():
        black = _net((1.0,))(torch.full((1, 3, 5, 5), -2.0))[0]
    entry = stored["inputs"][0]
    assert entry["baseline_logit"] == pytest.approx(float(black[entry["predicted"]]), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a["rows"].append(dict(a["rows"][0])), "a second entry"),
        (lambda a: a["rows"][0].update(unit="nowhere"), "'nowhere' is not in units"),
        (lambda a: a["maps"][0].update(input="nothing.png"), "'nothing.png' is not in inputs.names"),
        (lambda a: a["relevance"]["folding"].append("nowhere"), "'nowhere' is not in units"),
        (lambda a: a["rows"][0].update(branch=float("nan")), "not a finite number"),
        (lambda a: a["inputs"][0].pop("steps"), "'steps' is a required property"),
        (lambda a: a["images"][0]["picture"].update(png="<script>"), "does not match"),
    ],
)
def test_nonsense_is_refused(result, change, says):
    changed = copy.deepcopy(result)
    change(changed["attribution"])
    with pytest.raises(ResultError, match=says):
        validate(changed)
