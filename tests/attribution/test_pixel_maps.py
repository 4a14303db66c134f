"""Maps of a unit's violation over the pixels, against finite differences in float64."""

import math

import pytest
import torch

from resnet_diffeo_probe.attribution import (
    NotAttributableError,
    clipped_energy_map,
    log_sigma_min_map,
    narrow_direction_map,
    smallest_triple,
)
from resnet_diffeo_probe.attribution.violation import clipped_energy
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.units import discover


def _difference(function, x, direction, step):
    with torch.no_grad():
        return float(function(x + step * direction) - function(x - step * direction)) / (2 * step)


def _dense_jacobian(unit, x):
    n = x.numel()
    rows = []
    for index in range(n):
        z = x.clone().requires_grad_()
        (row,) = torch.autograd.grad(unit.sum_map(z).flatten()[index], z)
        rows.append(row.flatten())
    return torch.stack(rows)


def test_the_clipped_energy_is_what_the_relu_takes(classifier, images, tapped):
    model = classifier()
    network = tapped(model, images)
    discovery = discover(model, images[:1])
    _, seen = discovery.run(images)
    for unit in network.units:
        expected = seen[unit.name].sum.clamp(max=0).square().flatten(1).sum(1)
        assert float(expected.min()) > 0
        torch.testing.assert_close(clipped_energy(network, unit)(images), expected)


def test_the_gradient_of_the_clipped_energy_by_finite_differences(classifier, images, tapped):
    network = tapped(classifier(), images)
    energy = clipped_energy(network, network.units[1])
    x = images[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    for _ in range(5):
        direction = torch.randn_like(images[:1])
        numeric = _difference(energy, images[:1], direction, 1e-6)
        assert numeric == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def test_integrated_gradients_are_the_integral_of_finite_differences(classifier, images, tapped):
    network = tapped(classifier(), images)
    unit = network.units[1]
    energy = clipped_energy(network, unit)
    x, baseline = images[:1], torch.zeros_like(images[:1])
    found = clipped_energy_map(network, unit, x, baseline, steps=512)
    # midpoint rule on the line, differences at each point, pixel by pixel
    points = 200
    slow = torch.zeros_like(x)
    for place in [(0, 1, 2, 3), (0, 0, 0, 0), (0, 2, 5, 4), (0, 1, 3, 1)]:
        direction = torch.zeros_like(x)
        direction[place] = 1
        line = (baseline + (k + 0.5) / points * (x - baseline) for k in range(points))
        slope = sum(_difference(energy, at, direction, 1e-6) for at in line) / points
        slow[place] = float(x[place]) * slope
    chosen = slow[0] != 0
    assert int(chosen.sum()) == 4
    assert float((found.values - slow[0])[chosen].abs().max()) < 0.01 * float(found.values.abs().max())
    assert found.values.shape == x.shape[1:]


def test_the_map_of_the_clipped_energy_is_complete(classifier, images, tapped):
    network = tapped(classifier(), images)
    baseline = torch.zeros_like(images[:1])
    for unit in network.units:
        errors = []
        for steps in (8, 64, 512):
            found = clipped_energy_map(network, unit, images[:1], baseline, steps=steps)
            change = found.value - found.baseline_value
            assert float(found.values.sum()) - change == pytest.approx(found.completeness_error, abs=1e-9)
            errors.append(abs(found.completeness_error))
        assert errors[2] < 0.002 * float(found.values.abs().sum())
        assert errors[2] < errors[0]


def test_where_nothing_clips_there_is_a_reason(smooth, images, tapped):
    network = tapped(smooth, images)
    with pytest.raises(NotAttributableError, match="no activation follows the addition"):
        clipped_energy_map(network, network.units[0], images[:1], torch.zeros_like(images[:1]))


@pytest.fixture
def at_second_unit(smooth, images, tapped):
    network = tapped(smooth, images)
    unit = network.units[1]
    z = network.value(images[:1], unit, "input").detach()
    return network, unit, smallest_triple(UnitJacobian(unit).at(z).factorize(keep=True))


def test_the_smallest_singular_value_and_its_vectors(at_second_unit, images):
    network, unit, triple = at_second_unit
    J = _dense_jacobian(unit, network.value(images[:1], unit, "input").detach())
    u, s, vh = torch.linalg.svd(J)
    assert triple.sigma == pytest.approx(float(s[-1]), rel=1e-9)
    assert abs(float(triple.left.flatten() @ u[:, -1])) == pytest.approx(1, rel=1e-9)
    assert abs(float(triple.right.flatten() @ vh[-1])) == pytest.approx(1, rel=1e-9)
    torch.testing.assert_close(J @ triple.right.flatten(), triple.sigma * triple.left.flatten())


def test_the_gradient_of_log_sigma_min_by_finite_differences(at_second_unit, images):
    network, unit, triple = at_second_unit
    found = log_sigma_min_map(network, unit, images[:1], triple)

    def log_sigma(x):
        z = network.value(x, unit, "input").detach()
        with torch.enable_grad():
            return torch.linalg.svdvals(_dense_jacobian(unit, z))[-1].log()

    assert found.value == pytest.approx(float(log_sigma(images[:1])), rel=1e-9)
    for _ in range(3):
        direction = torch.randn_like(images[:1])
        numeric = _difference(log_sigma, images[:1], direction, 1e-5)
        assert numeric == pytest.approx(float((found.values * direction[0]).sum()), rel=1e-5)


def test_a_piecewise_linear_branch_leaves_log_sigma_min_alone(classifier, images, tapped):
    network = tapped(classifier(), images)
    unit = network.units[1]
    z = network.value(images[:1], unit, "input").detach()
    triple = smallest_triple(UnitJacobian(unit).at(z).factorize(keep=True))
    with pytest.raises(NotAttributableError, match="linear around the input"):
        log_sigma_min_map(network, unit, images[:1], triple)
    found = narrow_direction_map(network, unit, images[:1], triple)

    def along(x):
        return (network.value(x, unit, "input") * triple.right).sum()

    for _ in range(3):
        direction = torch.randn_like(images[:1])
        numeric = _difference(along, images[:1], direction, 1e-7)
        assert numeric == pytest.approx(float((found.values * direction[0]).sum()), rel=1e-5)
    assert math.isclose(found.value, triple.sigma)


def test_a_singular_jacobian_has_no_triple(linear, tapped):
    with torch.no_grad():
        linear[0].branch.weight.copy_(-torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.1, 0.3])))
    x = torch.randn(1, 5, dtype=torch.float64)
    unit = tapped(linear, x).units[0]
    factorization = UnitJacobian(unit).at(x).factorize(keep=True)
    with pytest.raises(NotAttributableError, match="singular"):
        smallest_triple(factorization)
