"""The pulled-back metric as a stage of an analysis: stored, held against dense Jacobians, cut short."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.evidence_check import broken_evidence
from resnet_diffeo_probe.analysis.steps import pulling_back
from tests.analysis.networks import Block, Net, Wider, images, seeded

FULL = Settings(budget=Budget.FULL, workers=1)


@pytest.fixture(scope="module")
def found():
    net, x = seeded(lambda: Net(Block(2), Wider(2), width=4)), images(2)
    return net, x, analyze(net, x, FULL).result


def jacobians(net, x):
    """The Jacobian of each unit's output by the pixels, the plain way."""
    net = copy.deepcopy(net).double()

    def depth(count):
        def output(v):
            v = torch.relu(net.stem(v))
            for unit in [*net.units.values()][:count]:
                v = unit(v)
            return v

        return output

    depths = range(1, len(net.units) + 1)
    return [torch.autograd.functional.jacobian(depth(k), x.double()).reshape(-1, x.numel()) for k in depths]


def test_every_depth_is_that_of_the_dense_jacobian(found):
    net, x, result = found
    pulled = result["pullback"]
    assert (pulled["input"], pulled["pixels"], pulled["directions"]) == ("input[0]", 90, 90)
    assert pulled["reason"] is None
    assert [depth["unit"] for depth in pulled["depths"]] == ["units.0", "units.1"]
    for depth, J in zip(pulled["depths"], jacobians(net, x[:1]), strict=True):
        sigma = torch.linalg.svdvals(J)
        assert depth["outputs"] == len(J)
        assert depth["rank"]["value"] == int(torch.linalg.matrix_rank(J))
        assert depth["sigma_max"]["value"] == pytest.approx(float(sigma[0]), rel=1e-4)
        if J.shape[0] < 90 or depth["rank"]["value"] < 90:
            assert depth["half_logdet"]["status"] == "singular"
        else:
            assert depth["half_logdet"]["value"] == pytest.approx(float(sigma.log().sum()), rel=1e-4)


def test_only_the_full_budget_asks_for_it():
    net, x = seeded(lambda: Net(Block(2))), images(1)
    assert analyze(net, x, Settings(budget=Budget.QUICK, workers=1)).result["pullback"] is None
    named = Settings(budget=Budget.FULL, measures=("sign",), workers=1)
    assert analyze(net, x, named).result["pullback"] is None


def test_fewer_directions_where_all_pixels_cost_too_much(monkeypatch):
    net, x = seeded(lambda: Net(Block(2))), images(1)
    monkeypatch.setattr(pulling_back, "_MAX_FLOPS", 6e5)
    pulled = analyze(net, x, FULL).result["pullback"]
    assert 8 <= pulled["directions"] < 90
    assert pulled["seed"] == 0
    assert "random orthonormal directions" in pulled["reason"]
    (depth,) = pulled["depths"]
    # singular values of a restriction lie between those of the whole
    J = jacobians(net, x)[0]
    sigma = torch.linalg.svdvals(J)
    assert depth["rank"]["value"] <= pulled["directions"]
    assert depth["sigma_max"]["value"] <= float(sigma[0]) * (1 + 1e-4)
    monkeypatch.setattr(pulling_back, "_MAX_FLOPS", 1.0)
    none = analyze(net, x, FULL).result["pullback"]
    assert (none["directions"], none["depths"]) == (0, [])
    assert "operations" in none["reason"]


def test_an_image_that_is_not_finite_has_a_reason():
    x = images(1)
    x[0, 0, 0, 0] = math.nan
    pulled = analyze(seeded(lambda: Net(Block(2))), x, FULL).result["pullback"]
    assert pulled["depths"] == []
    assert "NaN" in pulled["reason"]


def test_names_that_do_not_exist_and_second_depths_are_refused(found):
    _, _, result = found
    depth = result["pullback"]["depths"][0]
    wrong = result | {
        "pullback": result["pullback"] | {"input": "no", "depths": [depth, depth, depth | {"unit": "?"}]}
    }
    places = [place for place, _ in broken_evidence(wrong)]
    assert places == ["pullback.input", "pullback.depths[2].unit", "pullback.depths[1]"]
