"""Estimators, rectangular units and the pulled-back metric on ResNet-20, against exact numbers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.estimators import (
    branch_map,
    function_map,
    half_logdet_by_lanczos,
    linearized_map,
    logdet_by_power_series,
)
from resnet_diffeo_probe.jacobian.estimators.power_series import series_samples
from resnet_diffeo_probe.jacobian.measures.estimated import power_series_at
from resnet_diffeo_probe.jacobian.measures.pullback import pushed_tangents
from resnet_diffeo_probe.jacobian.measures.rectangular import findings_of_matrix, rectangular_measures
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


@cache
def at_first_image() -> tuple[Any, torch.Tensor, Any, dict[str, dict[str, Any]]]:
    """The network in float64, an image of the oracle, what goes through the units, the oracle's rows."""
    rows = json.loads(ORACLE.read_text(encoding="utf-8"))
    loaded = load(WEIGHTS)
    batch = read_inputs(str(IMAGES), preprocessing=TRAINED_WITH, shape=loaded.input_shape)
    network = discover(loaded.module, batch.tensor[:1]).to(dtype=torch.float64)
    image = rows[0]["image"]
    index = batch.names.index(image)
    x = batch.tensor[index : index + 1].double()
    return network, x, network.run(x)[1], {row["unit"]: row for row in rows if row["image"] == image}


@pytest.mark.parametrize("name", ["layer3.1", "layer3.2"])
def test_lanczos_quadrature_covers_the_oracle(name: str) -> None:
    network, _, seen, oracle = at_first_image()
    unit = next(unit for unit in network.units if unit.name == name)
    lin = UnitJacobian(unit).at(seen[name].input)
    found = half_logdet_by_lanczos(linearized_map(lin), probes=4, max_steps=48)
    assert found.interval[0] <= oracle[name]["logabsdet"] <= found.interval[1]
    assert found.interval[0] <= found.value <= found.interval[1]


def test_the_power_series_is_refused_on_a_real_unit() -> None:
    network, _, seen, _ = at_first_image()
    unit = next(unit for unit in network.units if unit.name == "layer3.1")
    found = logdet_by_power_series(branch_map(UnitJacobian(unit).at(seen["layer3.1"].input)))
    assert found.value is None
    assert found.status in {Status.NOT_APPLICABLE, Status.NOT_RUN}


def test_where_the_power_series_diverges_its_sums_leave_the_exact_value() -> None:
    """layer1.2 at this image: exactly −972.7; ten terms of the series are already far below, and go on falling."""
    network, _, _, _ = at_first_image()
    loaded = load(WEIGHTS)
    batch = read_inputs(str(IMAGES), preprocessing=TRAINED_WITH, shape=loaded.input_shape)
    index = batch.names.index("airplane/0003.jpg")
    seen = network.run(batch.tensor[index : index + 1].double())[1]
    unit = next(unit for unit in network.units if unit.name == "layer1.2")
    lin = UnitJacobian(unit).at(seen["layer1.2"].input)
    exact = lin.factorize().logabsdet
    assert exact == pytest.approx(-972.7, abs=0.05)
    sums = series_samples(branch_map(lin), 10, probes=48)
    mean, error = sums.mean(axis=1), sums.std(axis=1, ddof=1) / 48**0.5
    assert mean[0] > exact + 4 * error[0]
    assert mean[9] < exact - 4 * error[9]
    steps = -np.diff(mean)
    assert (steps[6:] > steps[5:-1] * 0.95).all()  # the terms stop falling: nothing says that they are wrong
    found = power_series_at(lin)
    assert (found.value, found.status) == (None, Status.NOT_APPLICABLE)
    assert "diverges; its partial sums after 1, 2, 5, 10 terms are" in str(found.reason)


def test_a_unit_that_changes_the_dimension_has_bracketed_singular_values() -> None:
    network, _, seen, _ = at_first_image()
    unit = next(unit for unit in network.units if unit.name == "layer3.0")
    assert not unit.preserves_dimension
    found = rectangular_measures(unit.sum_map, seen["layer3.0"].input, max_bytes=2**27)
    largest = found["sigma_max"]
    # a slow honest power iteration stays below the largest singular value and comes near it
    J = function_map(unit.sum_map, seen["layer3.0"].input, batch=1)
    v = torch.randn(1, J.columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(150):
        v = J.apply_transpose(J.apply(v / torch.linalg.vector_norm(v)))
    iterated = float(torch.linalg.vector_norm(v)) ** 0.5
    assert iterated <= largest.interval[1] * (1 + 1e-9)
    assert largest.value >= 0.98 * iterated


def test_pushed_pixels_are_the_columns_of_the_network_s_jacobian() -> None:
    network, x, _, _ = at_first_image()
    rng = np.random.default_rng(0)
    pixels = rng.choice(x.numel(), 24, replace=False)
    directions = torch.eye(x.numel(), dtype=torch.float64)[pixels]
    pushed = dict(pushed_tangents(network, x, directions=directions, batch=12))
    assert [*pushed] == [unit.name for unit in network.units]
    last = network.units[-1].name
    # rows of the whole network's Jacobian by reverse mode: no code in common with pushing forward
    entry = x.clone().requires_grad_()
    captured: list[torch.Tensor] = []
    tapped = network.with_taps()
    site = tapped.get_submodule(f"taps.{network.units[-1].tap_name}.output")
    site.register_forward_hook(lambda _m, _i, output: captured.append(output))
    tapped(entry)
    flat = captured[0].flatten()
    for row in rng.choice(flat.numel(), 12, replace=False):
        (gradient,) = torch.autograd.grad(flat[row], entry, retain_graph=True)
        torch.testing.assert_close(pushed[last][:, row], gradient.flatten()[pixels], rtol=1e-8, atol=1e-10)
    first = findings_of_matrix(pushed[network.units[0].name], eps=2.3e-16)
    assert first["rank"].value == 24
    assert first["half_logdet"].status is Status.OK
