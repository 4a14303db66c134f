"""Exponential, consistency, Jacobian maps, boundary and attack against what is known about them."""

import dataclasses

import numpy as np
import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters, glorot_uniform
from resnet_diffeo_probe.flows.integration.consistency import inverse_consistency
from resnet_diffeo_probe.flows.integration.exponential import composed, exponential, group_error
from resnet_diffeo_probe.flows.integration.integrate import flow
from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map, square_grid, torn_share
from resnet_diffeo_probe.flows.studies.boundary import boundary_of, logit_and_gradient
from resnet_diffeo_probe.flows.studies.robustness import accuracy_under_attack
from resnet_diffeo_probe.flows.training.accuracy import classify


def _parameters(architecture, seeds=2, gain=0.5):
    rngs = [np.random.default_rng(k) for k in range(seeds)]
    parameters = glorot_uniform(architecture, rngs, gain=gain).astype(np.float64)
    parameters.flat[...] += 0.05 * np.random.default_rng(7).standard_normal(parameters.flat.shape)
    return parameters


FIELD = VelocityField(_parameters(PlaneNetwork(steps=4)))
POINTS = np.random.default_rng(3).uniform(-2, 2, (1, 2, 9))


def test_composition_of_small_flows_tends_to_the_exponential():
    exact = exponential(FIELD, POINTS)
    errors = [np.abs(composed(FIELD, POINTS, halvings=n) - exact).max() for n in (6, 7, 8)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    np.testing.assert_allclose(composed(FIELD, POINTS, halvings=5), flow(FIELD, POINTS, steps=32), rtol=1e-12)


def test_exponential_is_a_one_parameter_group():
    there = exponential(FIELD, POINTS, time=0.7)
    np.testing.assert_allclose(exponential(FIELD, there, time=0.3), exponential(FIELD, POINTS), atol=1e-7)
    np.testing.assert_allclose(exponential(FIELD, there, time=-0.7)[0], POINTS[0], atol=1e-7)
    coarse, fine = (group_error(FIELD, POINTS, steps=n).max() for n in (40, 80))
    assert coarse / fine == pytest.approx(2, rel=0.15)
    assert group_error(FIELD, POINTS, steps=40, scheme="rk4").max() < 1e-5


def test_only_stationary_fields_have_an_exponential():
    field = VelocityField(_parameters(PlaneNetwork(steps=3, shared=False)))
    for call in (exponential, group_error):
        with pytest.raises(ConfigurationError, match="time-varying"):
            call(field, POINTS)
    with pytest.raises(ConfigurationError):
        composed(FIELD, POINTS, halvings=-1)
    with pytest.raises(ConfigurationError):
        group_error(FIELD, POINTS, s=0.0)


@pytest.mark.parametrize("first", ["forward", "backward"])
def test_inverse_consistency_is_of_first_order(first):
    errors = [inverse_consistency(FIELD, POINTS, steps=n, first=first).max() for n in (64, 128)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)


def _fold(width):
    """One step x -> x - 2 tanh(x / width) in the first coordinate: folds where |x| is below about width."""
    architecture = PlaneNetwork(steps=1, widths=(1,), bias=False)
    parameters = Parameters.zeros(architecture, 1, np.float64)
    parameters.kernels[0][0, 0] = [[1 / width, 0.0]]
    parameters.kernels[1][0, 0] = [[-2.0], [0.0]]
    parameters.readout[0, 0] = [1.0, 0.0, 0.0]
    return parameters


def test_determinant_map_of_a_known_fold():
    found = determinant_map(VelocityField(_fold(0.5)), 3.0, side=60)
    x = square_grid(3.0, 60)[0, 0].reshape(60, 60)
    np.testing.assert_allclose(found.values[0], 1 - 4 / np.cosh(2 * x) ** 2, atol=1e-12)
    assert found.least[0] == pytest.approx(-3.0, abs=1e-6)
    assert found.greatest[0] == pytest.approx(1.0, abs=1e-4)
    assert abs(found.least_at[0, 0]) < 1e-4
    assert torn_share(found.values)[0] == pytest.approx((4 / np.cosh(2 * x) ** 2 > 1).mean())


def test_a_fold_narrower_than_the_grid_is_found():
    # |x| < 0.01 folds, the cells are 0.1 wide and their centres miss it
    found = determinant_map(VelocityField(_fold(0.008)), 3.0, side=60)
    assert (found.values > 0).all()
    assert found.least[0] == pytest.approx(-249.0, rel=1e-3)


def test_a_reflection_tears_nothing():
    assert torn_share(-np.ones((1, 5, 5)))[0] == 0.0
    assert torn_share(np.where(np.arange(4) == 0, -1.0, 1.0)[None])[0] == 0.25


def _disc(radius):
    """A classifier whose boundary is nearly a circle: softplus rows of many directions, summed."""
    count = 16
    architecture = PlaneNetwork(steps=1, widths=(count,), activation="softplus")
    parameters = Parameters.zeros(architecture, 1, np.float64)
    angle = 2 * np.pi * np.arange(count) / count
    parameters.kernels[0][0, 0] = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    parameters.kernels[1][0, 0, 0] = 1.0  # x + sum softplus: the readout takes the shift x away again below
    parameters.kernels[1][0, 0, 1] = 1.0
    parameters.readout[0, 0] = [1.0, 0.0, 0.0]
    at = np.array([[[0.0], [radius]]])
    parameters.readout[0, 0, 2] = -classify(parameters, at)[0, 0]
    return parameters


def test_boundary_of_a_straight_line():
    parameters = _fold(0.5)
    parameters.kernels[1][...] = 0.0
    parameters.readout[0, 0] = [1.0, 1.0, 0.5]
    boundary = boundary_of(parameters, 3.0, side=100)
    cell = 0.06
    assert boundary.length == pytest.approx(np.sqrt(2) * 5.5, abs=3 * cell)
    assert boundary.curvature == pytest.approx(0.0, abs=1e-6)
    assert boundary.distance(np.zeros((2, 1)))[0] == pytest.approx(0.5 / np.sqrt(2), abs=1e-3)


def test_boundary_of_a_convex_curve_turns_once():
    boundary = boundary_of(_disc(1.5), 3.0, side=150)
    (piece,) = boundary.pieces
    assert boundary.curvature == pytest.approx(2 * np.pi, rel=1e-3)
    assert np.abs(logit_and_gradient(_disc(1.5), piece[None])[0]).max() < 1e-9
    # Cauchy: the length of a convex curve is the mean of its width times pi
    angle = np.linspace(0, np.pi, 400, endpoint=False)
    widths = [np.ptp(np.cos(a) * piece[0] + np.sin(a) * piece[1]) for a in angle]
    assert boundary.length == pytest.approx(np.pi * np.mean(widths), rel=1e-3)


def test_no_boundary_in_the_square():
    parameters = _disc(1.5)
    parameters.readout[0, 0, 2] += 1e3
    boundary = boundary_of(parameters, 3.0, side=50)
    assert boundary.pieces == ()
    assert np.isnan(boundary.distance(np.zeros((2, 1)))[0])


def test_logit_gradient_is_the_derivative():
    parameters = _parameters(PlaneNetwork(steps=3, shared=False))
    gradient = logit_and_gradient(parameters, POINTS)[1]
    for j in range(2):
        shift = np.zeros((1, 2, 1))
        shift[0, j] = 1e-6
        slope = (classify(parameters, POINTS + shift) - classify(parameters, POINTS - shift)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], slope, rtol=1e-6, atol=1e-7)


def test_attack_on_a_straight_boundary_fools_exactly_the_near_points():
    parameters = dataclasses.replace(_fold(0.5))
    parameters.kernels[1][...] = 0.0
    points = np.stack([np.linspace(-1, 1, 41) + 0.001, np.zeros(41)])[None]
    labels = (points[:, 0] > 0).astype(np.float64)
    for size in (0.2, 0.5):
        expected = (np.abs(points[0, 0]) > size).mean()
        assert accuracy_under_attack(parameters, points, labels, size)[0] == pytest.approx(expected)
