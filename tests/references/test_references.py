"""The shipped references: that they can be remade, and that a unit is placed where it belongs."""

import json
import math

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.module import spiral_module
from resnet_diffeo_probe.flows.studies.refinement import PLANNED, refinement_test
from resnet_diffeo_probe.flows.training.autograd import tensor_parameters, tensor_velocity
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references import UnitMeasures, compare
from resnet_diffeo_probe.references.catalogue import shipped_references, unit_distribution
from resnet_diffeo_probe.references.compare import measures_from_rows
from resnet_diffeo_probe.references.map_values import map_values
from resnet_diffeo_probe.references.quantities import QUANTITIES
from resnet_diffeo_probe.references.refinement_values import REFINEMENTS, refinement_values
from resnet_diffeo_probe.references.unit_values import summarise, unit_values
from resnet_diffeo_probe.references.weights import data_file, shipped_weights
from resnet_diffeo_probe.units import discover

SHIPPED = ["reliable", "paper"]
CASES = [(setting, network) for setting in SHIPPED for network in NETWORKS]


@pytest.mark.parametrize(("setting", "network"), CASES)
def test_units_of_two_seeds_are_remade_from_the_shipped_weights(setting, network):
    stored = shipped_references(setting)["networks"][network]
    networks = shipped_weights(setting, network)
    good = stored["good_seeds"]
    for seed in (good[0], good[-1]):
        row = networks.seeds.index(seed)
        values = unit_values(networks.setting, networks.parameters.select([row]), (seed,))
        for name, made in summarise(values).items():
            kept = stored["units"][name][good.index(seed)]
            np.testing.assert_allclose(made[0], np.array(kept), rtol=1e-4, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_whole_map_is_remade_from_the_shipped_weights(network):
    stored = shipped_references()["networks"][network]["maps"][1]
    networks = shipped_weights("reliable", network)
    (made,) = map_values(networks.setting, networks.parameters.select([1]), (1,))
    assert made["certificate"]["verdict"] == stored["certificate"]["verdict"]
    for name, value in stored.items():
        if isinstance(value, float):
            assert made[name] == pytest.approx(value, rel=1e-4, abs=1e-9), name


def test_unit_values_equal_honest_linear_algebra():
    networks = shipped_weights("reliable", "a")
    parameters = networks.parameters.select([2]).astype(np.float64)
    values = unit_values(networks.setting, parameters, (2,), points=6)
    data = draw_training_data(networks.setting, (2,), Purpose.HELD_OUT_DATA, 6)[0].astype(np.float64)
    kernels, _ = tensor_parameters(parameters.architecture, torch.from_numpy(parameters.flat))
    for point in range(6):
        x = torch.from_numpy(data[0, :, point])
        for unit in range(20):

            def branch(z, unit=unit):
                return tensor_velocity(parameters.architecture, kernels, unit, z[None, :, None])[0, :, 0]

            slope = torch.autograd.functional.jacobian(branch, x).numpy()
            jacobian = np.eye(2) + slope
            sign, logabsdet = np.linalg.slogdet(jacobian)
            y = x + branch(x)
            eigenvalues = np.linalg.eigvals(slope)
            real = eigenvalues.real[np.abs(eigenvalues.imag) < 1e-12]
            honest = {
                "negative_share": float(sign < 0),
                "logabsdet_per_dimension": logabsdet / 2,
                "sigma_min": np.linalg.svd(jacobian, compute_uv=False)[-1],
                "inverse_critical_step": max(0.0, -real.min()) if real.size else 0.0,
                "residual_ratio": float(branch(x).norm() / x.norm()),
                "inverse_consistency": float((y - branch(y) - x).norm() / x.norm()),
            }
            for name, value in honest.items():
                assert values[name][0, unit, point] == pytest.approx(value, rel=1e-7, abs=1e-12), name
            x = y


@pytest.mark.parametrize("setting", SHIPPED)
def test_references_say_how_they_were_made(setting):
    shipped = shipped_references(setting)
    assert "benchmarks/spirals_references.py" in shipped["provenance"]["command"]
    for network, row in shipped["networks"].items():
        assert row["setting"]["network"] == network
        assert len(row["maps"]) == len(row["seeds"]) == 32
        verdicts = {one["certificate"]["verdict"] for one in row["maps"]}
        assert verdicts <= {"diffeomorphism onto its image", "not injective", "undecided"}
        assert all(one["accuracy"] > 0.99 for one in row["maps"] if one["seed"] in row["good_seeds"])
        for name in QUANTITIES:
            points = row["points"][name]
            assert points["count"] == len(row["good_seeds"]) * 20 * row["data_points"]
            assert (np.diff(points["quantiles"]) >= 0).all()
    size = sum(
        data_file(f"{kind}_{setting}.{end}").stat().st_size
        for kind, end in (("weights", "npz"), ("references", "json"))
    )
    assert size < 600_000


@pytest.mark.parametrize("network", list(NETWORKS))
def test_refinement_of_two_seeds_is_remade(network):
    stored = shipped_references()["networks"][network]
    networks = shipped_weights("reliable", network)
    seeds = tuple(stored["good_seeds"][:2])
    chosen = networks.parameters.select([networks.seeds.index(s) for s in seeds])
    made = refinement_values(networks.setting, chosen, seeds)
    for new, old in zip(made, stored["refinement"], strict=True):
        assert (new["scheme"], new["steps"]) == (old["scheme"], old["steps"])
        assert new["agreement"] == pytest.approx(old["agreement"][:2])
        assert new["logit_change"] == pytest.approx(old["logit_change"][:2], rel=1e-3)


def test_the_spirals_are_refined_as_other_networks_are():
    planned = [(refinement.scheme, refinement.steps) for refinement in PLANNED]
    assert planned == list(REFINEMENTS)
    networks = shipped_weights("reliable", "a")
    parameters = networks.parameters.select([3])
    data = draw_training_data(networks.setting, (3,), Purpose.HELD_OUT_DATA, 400)[0].astype(np.float64)
    points = torch.from_numpy(data[0].T.copy())
    discovery = discover(spiral_module(parameters), points[:2])
    rows = refinement_test(discovery, [points], single_units=False)
    assert [row.agreement for row in rows] == [
        row["agreement"][0] for row in refinement_values(networks.setting, parameters, (3,))
    ]


def test_the_reliable_setting_is_reliable():
    for network, row in shipped_references("reliable")["networks"].items():
        assert len(row["good_seeds"]) >= 30, network


def test_a_reference_unit_is_at_its_own_percentiles():
    networks = shipped_weights("reliable", "a")
    values = unit_values(networks.setting, networks.parameters.select([0]), (0,))
    for unit in (0, 7, 19):
        place = compare(UnitMeasures(f"unit {unit}", {k: v[0, unit].tolist() for k, v in values.items()}))
        assert place.unit == f"unit {unit}"
        for name, value in place.summaries.items():
            reference = unit_distribution("a", name)
            share = 100 * (np.mean(reference < value) + np.mean(reference <= value)) / 2
            assert place.percentiles["a"][name] == pytest.approx(share, abs=0.3)


def test_most_units_of_a_network_are_nearest_to_it_or_its_kin():
    # b, c and d differ less from each other than a from all of them
    networks = shipped_weights("reliable", "d")
    values = unit_values(networks.setting, networks.parameters.select([0, 1, 2]), (0, 1, 2))
    nearest = [
        compare(UnitMeasures("u", {k: v[s, u].tolist() for k, v in values.items()})).nearest
        for s in range(3)
        for u in range(20)
    ]
    assert sum(letter in "cd" for letter in nearest) > 30


def test_extreme_and_missing_values_are_placed_without_trouble():
    place = compare(
        UnitMeasures(
            "wild", {"negative_share": [1.0], "sigma_min": [1e-30], "residual_ratio": [1e9, math.inf]}
        )
    )
    assert place.percentiles["b"]["negative_share"] == 100.0
    assert place.percentiles["b"]["sigma_min"] == 0.0
    assert place.percentiles["b"]["residual_ratio"] == 100.0
    assert "inverse_critical_step" not in place.percentiles["b"]
    json.dumps(place.to_json(), allow_nan=False)
    nothing = compare(UnitMeasures("empty", {}))
    assert nothing.nearest is None
    assert nothing.distances == {}


def test_measures_are_gathered_from_rows_of_a_stored_analysis():
    def row(quantity, value, status="ok", unit="layer1.0"):
        return {"unit": unit, "input": "x", "quantity": quantity, "value": value, "status": status}

    rows = [
        row("sign", -1),
        row("sign", 1),
        row("sign", None, "undetermined"),
        row("sign", -1, unit="layer1.1"),
        row("logabsdet", -32.0),
        row("critical_step", None, "infinite"),
        row("critical_step", 4.0),
        row("residual_ratio", 0.5),
        row("sigma_max", 3.0),
    ]
    gathered = measures_from_rows("layer1.0", 16, rows)
    assert gathered.summaries() == {
        "negative_share": 0.5,
        "logabsdet_per_dimension": -2.0,
        "inverse_critical_step": 0.125,
        "residual_ratio": 0.5,
    }


def test_unknown_names_are_refused():
    with pytest.raises(ConfigurationError):
        shipped_references("perfect")
    with pytest.raises(ConfigurationError):
        shipped_weights("perfect", "a")
    with pytest.raises(ConfigurationError):
        shipped_weights("reliable", "e")
