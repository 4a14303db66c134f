"""ResNet-20's seven identity units at two images, against dense float64 linear algebra that shares no code with us."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.finding import Evidence, Status
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import QUANTITIES, UnitJacobian, measure
from resnet_diffeo_probe.jacobian.measures.measure import activation_measures
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
ORACLE = SHARED / "fixtures" / "resnet20_oracle.json"
WEIGHTS = SHARED / "data" / "weights" / "resnet20-12fca82f.th"
IMAGES = SHARED / "data" / "cifar10"

pytestmark = pytest.mark.skipif(
    not (ORACLE.is_file() and WEIGHTS.is_file() and IMAGES.is_dir()),
    reason="the real weights, images and their oracle are not beside this checkout (../shared)",
)

TRAINED_WITH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
ROWS = json.loads(ORACLE.read_text(encoding="utf-8")) if ORACLE.is_file() else []
COMMON = {"sign", "logabsdet", "residual_ratio", "clipped_fraction"}
SPECTRAL = {
    "sigma_min": "sigma_min",
    "sigma_max": "sigma_max",
    "leftmost_real_eigenvalue": "leftmost_real_eigenvalue_of_JF",
    "real_eigenvalues_below_minus_one": "real_eigenvalues_below_minus_1",
}


@cache
def network():
    """The units in float64, prepared, as an analysis has them."""
    loaded = load(WEIGHTS)
    batch = read_inputs(str(IMAGES), preprocessing=TRAINED_WITH, shape=loaded.input_shape)
    exact = discover(loaded.module, batch.tensor[:1]).to(dtype=torch.float64)
    units = {unit.name: unit for unit in exact.units}
    jacobians = {name: UnitJacobian(unit) for name, unit in units.items() if unit.preserves_dimension}
    return exact, batch, units, jacobians


@cache
def activations(image):
    exact, batch, _, _ = network()
    index = batch.names.index(image)
    return exact.run(batch.tensor[index : index + 1].double())[1]


def test_the_oracle_covers_the_seven_units_at_two_images():
    _, _, _, jacobians = network()
    assert len(ROWS) == 14
    assert {row["unit"] for row in ROWS} == set(jacobians)
    assert len({row["image"] for row in ROWS}) == 2
    assert sum(set(SPECTRAL.values()) <= set(row) for row in ROWS) == 4


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['unit']} at {row['image']}")
def test_every_number_of_the_oracle(row):
    _, _, units, jacobians = network()
    unit, seen = units[row["unit"]], activations(row["image"])[row["unit"]]
    assert unit.dimension == row["n"]
    # what the oracle does not know is not computed: the large units' spectra take their time
    wanted = COMMON | {ours for ours, theirs in SPECTRAL.items() if theirs in row}
    if "leftmost_real_eigenvalue" in wanted:
        wanted.add("critical_step")
    found = measure(jacobians[row["unit"]], seen.input, wanted) | activation_measures(
        seen.input, seen.branch, seen.sum, activation=unit.activation, preserves_dimension=True
    )
    assert wanted <= set(found) <= set(QUANTITIES)
    assert {found[name].status for name in wanted} == {Status.OK}

    assert found["sign"].value == row["sign"]
    assert found["sign"].evidence is Evidence.EXACT
    assert abs(found["logabsdet"].value - row["logabsdet"]) <= 1e-7 * max(1, abs(row["logabsdet"]))
    assert found["residual_ratio"].value == pytest.approx(row["residual_ratio"], rel=1e-6)  # float32 images
    assert found["clipped_fraction"].value == row["clipped_fraction"]
    for ours, theirs in SPECTRAL.items():
        if theirs in row:
            assert found[ours].value == pytest.approx(row[theirs], rel=1e-6), ours
    if "critical_step" in wanted:
        assert found["critical_step"].value == pytest.approx(
            -1 / row["leftmost_real_eigenvalue_of_JF"], rel=1e-6
        )
        assert found["critical_step"].value < 1  # the units are too long a step for the flow at these images
        assert (-1) ** found["real_eigenvalues_below_minus_one"].value == found["sign"].value
