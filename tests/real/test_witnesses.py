"""Every identity unit of a ResNet-20 with real weights has a pair of points with one image."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.bijectivity import local_certificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import branch_bounds
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.bijectivity.search.search import SearchEffort, clipping_witness, fold_witness
from resnet_diffeo_probe.bijectivity.witnesses.own_module import snippet
from resnet_diffeo_probe.bijectivity.witnesses.witness import save
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import UnitJacobian, smallest_singular_value
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WEIGHTS = DATA / "weights" / "resnet20-12fca82f.th"

pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason=f"the shared real weights are not at {WEIGHTS}")

IDENTITY_UNITS = ["layer1.0", "layer1.1", "layer1.2", "layer2.1", "layer2.2", "layer3.1", "layer3.2"]


@pytest.fixture(scope="module")
def network() -> Any:
    module = copy.deepcopy(load(WEIGHTS).module).double().eval()
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    inputs = read_inputs(DATA / "cifar10", count=20, preprocessing=preprocessing)
    discovery = discover(module, inputs.tensor[:1].double())
    _, activations = discovery.run(inputs.tensor.double())
    units = {unit.name: unit for unit in discovery.units if unit.preserves_dimension}
    return module, inputs.names, units, activations


def test_the_identity_units_are_these(network: Any) -> None:
    assert list(network[2]) == IDENTITY_UNITS


@pytest.mark.parametrize("name", IDENTITY_UNITS)
def test_both_maps_have_a_verified_pair(network: Any, name: str, tmp_path: Path) -> None:
    module, names, units, activations = network
    unit, inputs = units[name], activations[name].input
    jacobian = UnitJacobian(unit)
    signs: list[int] = []
    while len(set(signs)) < 2:  # both occur among the 20: an IndexError says that they do not
        signs.append(jacobian.at(inputs[[len(signs)]]).factorize().sign)
    effort = SearchEffort(pairs=1, growth=2)
    folded = fold_witness(unit, jacobian, inputs[: len(signs)], signs, names, module=module, effort=effort)
    clipped = clipping_witness(unit, jacobian, inputs[:2], names, module=module)
    for found in (folded, clipped):
        assert found is not None
        assert found.is_proof
        assert found.in_orthant
        assert found.relative_distance > 1e-5
        assert "the network's own module" in found.checked_by
        path = save(found, tmp_path)
        exec(snippet(name, found.map, str(path)), {"model": module})  # noqa: S102 - what a reader is told to run
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.sum.npz", f"{name}.unit.npz"}
    assert folded is not None
    assert folded.about["grown_distance"] >= folded.about["first_distance"]
    assert 0 < folded.about["fold_distance"] < 1
    # a pair of other images of this unit is none: the check can fail
    x1, x2 = inputs[0], inputs[1]
    np.savez(path, x1=x1[None].numpy(), x2=x2[None].numpy())
    with pytest.raises(AssertionError):
        exec(snippet(name, "unit", str(path)), {"model": module})  # noqa: S102
    assert torch.isfinite(folded.x1).all()


def test_a_certified_radius_is_a_thousand_times_the_classical_one_and_below_every_witness(
    network: Any,
) -> None:
    _, names, units, activations = network
    jacobian = UnitJacobian(units["layer1.0"])
    bounds = branch_bounds(jacobian)
    assert bounds is not None
    x = activations["layer1.0"].input[[names.index("frog/0005.jpg")]]
    factorization = jacobian.at(x).factorize(keep=True)
    sigma = smallest_singular_value(factorization.linearization, factorization).value
    found = local_certificate(factorization, bounds, sigma_min=sigma, max_units=256)
    assert found.radius is not None
    assert found.classical_radius is not None
    assert found.radius >= 1000 * found.classical_radius
    # attack: one sign in the ball, and Newton's method from points of it comes back to x, not to a twin
    generator = torch.Generator().manual_seed(0)
    y = units["layer1.0"].sum_map(x)
    for _ in range(3):
        d = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        point = x + 0.999 * found.radius * d / torch.linalg.vector_norm(d)
        assert jacobian.at(point).factorize().sign == factorization.sign
        back = newton(jacobian, y, point, factorization=factorization)
        if back.converged and torch.linalg.vector_norm(back.x - x) < found.radius:
            assert torch.linalg.vector_norm(back.x - x) < 1e-9
