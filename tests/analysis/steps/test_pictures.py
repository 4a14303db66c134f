"""The pictures of a result say what its numbers say, and are bounded whatever the network."""

from __future__ import annotations

import base64
import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import ResultError, validate
from resnet_diffeo_probe.analysis.steps import pictures as album
from resnet_diffeo_probe.analysis.steps import spatial_maps
from resnet_diffeo_probe.units import discover
from tests.analysis.networks import Block, Net, images, seeded


def folding():
    return seeded(lambda: Net(Block(2, scale=8.0), Block(2, scale=8.0)), seed=2)


@pytest.fixture(scope="module")
def analysis():
    return analyze(folding(), images(12), Settings(workers=2))


@pytest.fixture(scope="module")
def result(analysis):
    return analysis.result


def levels(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["png"]))))


def values(picture):
    low, high = picture["scale"]
    return low + (high - low) * levels(picture).astype(float) / 254


def maps(result, kind):
    return [m for m in result["pictures"]["maps"] if m["kind"] == kind and m["picture"]]


def measured(result, unit, name, quantity):
    (row,) = (
        r for r in result["measurements"] if (r["unit"], r["input"], r["quantity"]) == (unit, name, quantity)
    )
    return row["value"]


def test_clipped_maps_have_the_measured_share_as_their_mean(result):
    found = maps(result, "clipped")
    assert len(found) >= 2
    for entry in found:
        share = measured(result, entry["unit"], entry["input"], "clipped_fraction")
        assert entry["numbers"]["mean"] == pytest.approx(share)
        assert values(entry["picture"]).mean() == pytest.approx(share, abs=1 / 254)


def test_the_weakest_direction_is_stretched_by_the_measured_singular_value(result):
    found = maps(result, "singular_vector")
    assert found
    for entry in found:
        sigma = measured(result, entry["unit"], entry["input"], "sigma_min")
        assert entry["numbers"]["stretch"] == pytest.approx(sigma, rel=1e-3)
        energy = values(entry["picture"])
        assert energy.sum() == pytest.approx(1.0, abs=energy.size * energy.max() / 254)
        row, column = int(entry["numbers"]["row"]), int(entry["numbers"]["column"])
        assert energy[row, column] == energy.max() == pytest.approx(entry["numbers"]["greatest_share"])


def test_the_normal_of_a_fold_is_the_gradient_of_the_unit_that_crosses(analysis, result):
    net = folding().double()
    folds = [w for w in analysis.witnesses if w.map == "sum" and w.kind == "fold"]
    assert folds
    for witness in folds:
        (entry,) = (m for m in maps(result, "fold_normal") if m["unit"] == witness.unit)
        block = net.get_submodule(witness.unit)
        x = witness.x1.clone().requires_grad_()
        block.conv1(x).view(-1)[witness.about["hidden_index"]].backward()
        energy = (x.grad[0] ** 2).sum(0)
        np.testing.assert_allclose(
            values(entry["picture"]), energy / energy.sum(), atol=float(energy.max() / energy.sum()) / 250
        )


def test_pairs_are_drawn_with_their_difference(analysis, result):
    pairs = result["pictures"]["pairs"]
    assert {(p["unit"], p["map"]) for p in pairs} == {(w.unit, w.map) for w in analysis.witnesses}
    for entry in pairs:
        (witness,) = (w for w in analysis.witnesses if (w.unit, w.map) == (entry["unit"], entry["map"]))
        assert sorted(entry["channels"]) == [0, 1]
        assert entry["share_shown"] == pytest.approx(1.0)
        first = entry["channels"][0]
        drawn = values(entry["difference"])[:6, :5]
        exact = (witness.x2 - witness.x1)[0, first].numpy()
        np.testing.assert_allclose(drawn, exact, atol=np.abs(exact).max() / 127)


def test_the_inputs_are_shown_and_named(result):
    shown = [entry["input"] for entry in result["pictures"]["inputs"]]
    assert len(shown) == len(set(shown)) == 8
    assert set(shown) <= set(result["inputs"]["names"])
    # every map that speaks of an input stands beside its picture, as far as there is room
    assert {m["input"] for m in result["pictures"]["maps"] if m["input"]} <= set(shown)


def test_a_unit_that_takes_the_image_has_a_pair_of_images():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
            self.head = nn.Linear(3, 2)
            with torch.no_grad():
                self.conv2.weight *= 30

        def forward(self, x):
            return self.head(torch.relu(x + self.conv2(torch.relu(self.conv1(x)))).mean((2, 3)))

    x = torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(4)) * 0.9 + 0.05
    result = analyze(seeded(Bare), x, Settings(workers=1)).result
    drawn = [p for p in result["pictures"]["pairs"] if p["channels"] is None]
    assert drawn
    assert levels(drawn[0]["first"]).shape == (6, 6, 3)
    assert drawn[0]["outside"] == 0


def test_the_quick_budget_computes_no_vector_and_says_so():
    result = analyze(folding(), images(2), Settings(workers=1, budget=Budget.QUICK)).result
    assert not maps(result, "singular_vector")
    reasons = {m["reason"] for m in result["pictures"]["maps"] if m["kind"] == "singular_vector"}
    assert reasons == {"not computed in the quick budget"}
    assert maps(result, "clipped")


def test_units_without_height_and_width_say_so():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 12)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(x)))

    result = analyze(
        seeded(lambda: nn.Sequential(nn.Linear(5, 12), Flat())), torch.randn(3, 5), Settings(workers=1)
    ).result
    assert result["pictures"]["inputs"] == []
    assert all(
        m["picture"] is None and "no height and width" in m["reason"] for m in result["pictures"]["maps"]
    )


def test_few_measures_come_without_pictures():
    result = analyze(folding(), images(2), Settings(workers=1, measures=("sign",))).result
    assert result["pictures"] is None


def test_there_is_a_bounded_number_and_the_unit_to_look_at_first_is_there(monkeypatch):
    monkeypatch.setattr(spatial_maps, "_MAPPED_UNITS", 1)
    monkeypatch.setattr(album, "_PAIRED_UNITS", 1)
    net = seeded(lambda: Net(Block(2, scale=0.1), Block(2, scale=8.0)), seed=2)
    result = analyze(net, images(12), Settings(workers=1)).result
    folds = {
        v["unit"] for v in result["verdicts"] if v["unit"] and v["map"] == "sum" and "proven" in v["state"]
    }
    assert len(folds) == 1
    assert {m["unit"] for m in result["pictures"]["maps"]} == folds
    assert {p["unit"] for p in result["pictures"]["pairs"]} == folds


def test_what_does_not_fit_is_counted(monkeypatch, result):
    monkeypatch.setattr(album, "_MOST_CHARACTERS", 2000)
    small = analyze(folding(), images(12), Settings(workers=2)).result["pictures"]
    sizes = [
        len(entry["picture"]["png"])
        for part in ("inputs", "maps")
        for entry in small[part]
        if entry["picture"]
    ]
    assert 0 < sum(sizes) <= 2000
    assert small["left_out"] > 0
    assert result["pictures"]["left_out"] == 0


def test_the_same_run_gives_the_same_pictures_whatever_the_number_of_workers(result):
    again = analyze(folding(), images(12), Settings(workers=1)).result
    assert again["pictures"] == result["pictures"]


def test_the_model_is_not_changed():
    net = folding()
    before = copy.deepcopy(net.state_dict())
    analyze(net, images(2), Settings(workers=1))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    assert discover(net, images(1)).units


@pytest.mark.parametrize(
    ("part", "key", "value", "place"),
    [
        ("maps", "unit", "nobody", "pictures.maps[0].unit"),
        ("maps", "input", "nothing", "pictures.maps[0].input"),
        ("pairs", "unit", "nobody", "pictures.pairs[0].unit"),
        ("inputs", "input", "nothing", "pictures.inputs[0].input"),
    ],
)
def test_pictures_of_what_is_not_there_are_refused(result, part, key, value, place):
    broken = copy.deepcopy(result)
    broken["pictures"][part][0][key] = value
    with pytest.raises(ResultError, match=place.replace("[", r"\[").replace("]", r"\]")):
        validate(broken)


@pytest.mark.parametrize("png", ["<script>", "A" * 40_000, ""])
def test_a_picture_that_is_no_base64_is_refused(result, png):
    broken = copy.deepcopy(result)
    broken["pictures"]["inputs"][0]["picture"]["png"] = png
    with pytest.raises(ResultError, match="pictures"):
        validate(broken)
