"""The closed-form gradient against autograd, for every kind of network."""

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.parameters import Parameters, glorot_uniform
from resnet_diffeo_probe.flows.training.autograd import autograd_loss
from resnet_diffeo_probe.flows.training.closed_form import loss_and_gradient


def _problem(architecture, seeds=3, batch=11):
    rngs = [np.random.default_rng(k) for k in range(seeds)]
    parameters = glorot_uniform(architecture, rngs, gain=0.7).astype(np.float64)
    rng = np.random.default_rng(99)
    parameters.flat[...] += 0.05 * rng.standard_normal(parameters.flat.shape)
    points = rng.standard_normal((seeds, 2, batch))
    labels = (rng.random((seeds, batch)) > 0.5).astype(np.float64)
    domain = rng.uniform(-3, 3, (seeds, 2, 7))
    return parameters, points, labels, domain


@pytest.mark.parametrize("penalty", ["none", "data", "domain"])
@pytest.mark.parametrize(
    "architecture",
    [
        PlaneNetwork(steps=6),
        PlaneNetwork(steps=6, shared=False),
        PlaneNetwork(steps=4, bias=False),
        PlaneNetwork(steps=4, widths=(6, 5), activation="softplus"),
        PlaneNetwork(steps=3, widths=(7, 4), bias=False, shared=False),
        PlaneNetwork(steps=4, activation="relu"),
        PlaneNetwork(steps=1, widths=(1,)),
    ],
    ids=str,
)
def test_gradient_equals_autograd(architecture, penalty):
    parameters, points, labels, domain = _problem(architecture)
    gradient = Parameters.zeros(architecture, parameters.seeds, np.float64)
    parts = loss_and_gradient(
        parameters, gradient, points, labels, penalty=penalty, weight=1.7, domain=domain
    )
    flat = torch.from_numpy(parameters.flat.copy()).requires_grad_()
    loss = autograd_loss(
        parameters,
        flat,
        torch.from_numpy(points),
        torch.from_numpy(labels),
        penalty=penalty,
        weight=1.7,
        domain=torch.from_numpy(domain),
    )
    loss.backward()
    np.testing.assert_allclose(gradient.flat, flat.grad.numpy(), rtol=1e-9, atol=1e-11)
    total = parts.cross_entropy.sum() + 1.7 * parts.penalty.sum()
    assert total == pytest.approx(loss.item(), rel=1e-12)


def test_cross_entropy_is_finite_for_huge_logits():
    parameters, points, labels, _ = _problem(PlaneNetwork(steps=2))
    parameters.readout[...] *= 1e6
    gradient = Parameters.zeros(parameters.architecture, parameters.seeds, np.float64)
    parts = loss_and_gradient(parameters, gradient, points, labels)
    assert np.isfinite(parts.cross_entropy).all()
    assert np.isfinite(gradient.flat).all()


def test_domain_penalty_needs_its_points():
    parameters, points, labels, _ = _problem(PlaneNetwork(steps=2))
    gradient = Parameters.zeros(parameters.architecture, parameters.seeds, np.float64)
    with pytest.raises(ValueError, match="domain points"):
        loss_and_gradient(parameters, gradient, points, labels, penalty="domain", weight=1.0)
