"""Schemes against autograd, against each other and against a flow known in closed form."""

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters, glorot_uniform
from resnet_diffeo_probe.flows.fields.plane import determinant
from resnet_diffeo_probe.flows.integration.integrate import SCHEMES, flow, flow_states, flow_with_jacobian
from resnet_diffeo_probe.flows.training.autograd import tensor_parameters, tensor_velocity


def _field(architecture, seeds=2, gain=0.5):
    rngs = [np.random.default_rng(k) for k in range(seeds)]
    parameters = glorot_uniform(architecture, rngs, gain=gain).astype(np.float64)
    parameters.flat[...] += 0.05 * np.random.default_rng(7).standard_normal(parameters.flat.shape)
    return VelocityField(parameters)


POINTS = np.random.default_rng(3).uniform(-2, 2, (1, 2, 9))


@pytest.mark.parametrize(
    "architecture",
    [
        PlaneNetwork(steps=5),
        PlaneNetwork(steps=5, shared=False),
        PlaneNetwork(steps=3, widths=(6, 4), activation="softplus"),
        PlaneNetwork(steps=3, bias=False),
    ],
    ids=str,
)
def test_euler_map_and_its_jacobian_equal_autograd(architecture):
    field = _field(architecture)
    mapped, jacobian = flow_with_jacobian(field, POINTS)
    kernels, _ = tensor_parameters(architecture, torch.from_numpy(field.parameters.flat))

    def network(x):
        for step in range(architecture.steps):
            x = x + tensor_velocity(architecture, kernels, step % architecture.fields, x)
        return x

    x = torch.from_numpy(np.broadcast_to(POINTS, mapped.shape).copy())
    np.testing.assert_allclose(mapped, network(x).numpy(), rtol=1e-12)
    full = torch.autograd.functional.jacobian(network, x)
    for s in range(mapped.shape[0]):
        for b in range(mapped.shape[2]):
            honest = full[s, :, b, s, :, b]
            np.testing.assert_allclose(jacobian[s, :, :, b], honest.numpy(), rtol=1e-9, atol=1e-12)
            assert determinant(jacobian)[s, b] == pytest.approx(torch.linalg.det(honest).item(), rel=1e-8)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("shared", [True, False])
def test_jacobian_of_every_scheme_is_the_derivative_of_its_map(scheme, shared):
    field = _field(PlaneNetwork(steps=4, shared=shared), gain=0.3)
    jacobian = flow_with_jacobian(field, POINTS, scheme=scheme)[1]
    eps = 1e-5
    for j in range(2):
        shift = np.zeros((1, 2, 1))
        shift[0, j] = eps
        difference = (
            flow(field, POINTS + shift, scheme=scheme) - flow(field, POINTS - shift, scheme=scheme)
        ) / (2 * eps)
        np.testing.assert_allclose(jacobian[:, :, j], difference, rtol=2e-6, atol=2e-6)


ORDERS = {"euler": 1, "backward-euler": 1, "midpoint": 2, "implicit-midpoint": 2, "rk4": 4}


@pytest.mark.parametrize("scheme", sorted(ORDERS))
def test_order_of_convergence(scheme):
    field = _field(PlaneNetwork(steps=4), gain=0.5)
    exact = flow(field, POINTS, steps=512, scheme="rk4")
    coarse = np.abs(flow(field, POINTS, steps=8, scheme=scheme) - exact).max()
    fine = np.abs(flow(field, POINTS, steps=16, scheme=scheme) - exact).max()
    assert np.log2(coarse / fine) == pytest.approx(ORDERS[scheme], abs=0.35)


def test_linear_field_flows_as_the_matrix_exponential():
    # tanh of a tiny argument is linear: V(x) = A x with A = nu w, to one part in 1e12
    matrix = np.array([[0.02, -0.3], [0.25, -0.1]])
    architecture = PlaneNetwork(steps=2, widths=(2,), bias=False)
    parameters = Parameters.zeros(architecture, 1, np.float64)
    parameters.kernels[0][0, 0] = 1e-6 * np.eye(2)
    parameters.kernels[1][0, 0] = 1e6 * matrix
    values, vectors = np.linalg.eig(2 * matrix)
    exponential = (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real
    mapped, jacobian = flow_with_jacobian(VelocityField(parameters), POINTS, scheme="adaptive")
    np.testing.assert_allclose(mapped[0], exponential @ POINTS[0], rtol=1e-7, atol=1e-8)
    assert determinant(jacobian)[0] == pytest.approx(np.exp(2 * np.trace(matrix)), rel=1e-7)


@pytest.mark.parametrize("shared", [True, False])
def test_backwards_undoes_forwards_in_the_limit(shared):
    field = _field(PlaneNetwork(steps=4, shared=shared))
    there = flow(field, POINTS, steps=64, scheme="rk4")
    back = flow(field, there, steps=64, scheme="rk4", backwards=True)
    np.testing.assert_allclose(back, np.broadcast_to(POINTS, back.shape), atol=1e-6)


def test_backward_euler_is_the_exact_inverse_of_euler_backwards():
    field = _field(PlaneNetwork(steps=4), gain=0.3)
    there = flow(field, POINTS, scheme="backward-euler")
    back = flow(field, there, scheme="euler", backwards=True)
    np.testing.assert_allclose(back, np.broadcast_to(POINTS, back.shape), atol=1e-12)


def test_states_begin_with_the_points_and_end_with_the_flow():
    field = _field(PlaneNetwork(steps=3))
    states = flow_states(field, POINTS)
    assert len(states) == 4
    np.testing.assert_array_equal(states[0][1], POINTS[0])
    np.testing.assert_array_equal(states[-1], flow(field, POINTS))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"steps": 0}, "at least one"),
        ({"scheme": "leapfrog"}, "unknown scheme"),
        ({"steps": 7}, "multiple of 5"),
    ],
)
def test_impossible_requests_are_refused(keywords, message):
    field = _field(PlaneNetwork(steps=5, shared=False))
    with pytest.raises(ConfigurationError) as problem:
        flow(field, POINTS, **keywords)
    assert message in str(problem.value)
