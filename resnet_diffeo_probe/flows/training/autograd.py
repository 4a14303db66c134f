"""The same networks in torch: the slow, general way, for what has no closed form and to check what has."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from resnet_diffeo_probe.flows.fields.architecture import PLANE, PlaneNetwork
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = [
    "autograd_loss",
    "prior_gradient",
    "tensor_parameters",
    "tensor_velocity",
    "velocity_gradient_prior",
]

_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "softplus": functional.softplus}


def tensor_parameters(
    architecture: PlaneNetwork, flat: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Split (S, P) into the field's kernels, each (S, fields, rows, columns), and the readout (S, 1, 3)."""
    seeds, fields = flat.shape[0], architecture.fields
    kernels = []
    start = 0
    for rows, columns in architecture.kernel_shapes():
        size = fields * rows * columns
        kernels.append(flat[:, start : start + size].reshape(seeds, fields, rows, columns))
        start += size
    return kernels, flat[:, start:].reshape(seeds, 1, PLANE + 1)


def tensor_velocity(
    architecture: PlaneNetwork, kernels: list[torch.Tensor], field: int, x: torch.Tensor
) -> torch.Tensor:
    """Return F(x), (S, 2, B), of one of the fields."""
    activation = _ACTIVATIONS[architecture.activation]
    for kernel in kernels[:-1]:
        weights = kernel[:, field]
        if architecture.bias:
            # the bias is the kernel's last column: a row of ones under x applies it
            x = torch.cat([x, x.new_ones(x.shape[0], 1, x.shape[2])], dim=1)
        x = activation(weights @ x)
    return kernels[-1][:, field] @ x


def velocity_gradient_prior(
    architecture: PlaneNetwork, kernels: list[torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared Frobenius norm of the field's Jacobian over points and steps of the flow.

    It is the prior of section 3.3, "the integral of the norm of the gradient of the velocity fields",
    with the time integral as a mean over the steps.

    Args:
        architecture: the networks' shape.
        kernels: the field's kernels, as from `tensor_parameters`.
        x: (S, 2, B) starting points.

    Returns:
        (S,) the prior's value.
    """
    total = x.new_zeros(x.shape[0])
    for step in range(architecture.steps):
        if not x.requires_grad:
            x = x.clone().requires_grad_()
        velocity = tensor_velocity(architecture, kernels, step % architecture.fields, x)
        for row in range(PLANE):
            (slope,) = torch.autograd.grad(velocity[:, row].sum(), x, create_graph=True)
            total = total + slope.square().sum(dim=1).mean(dim=1)
        x = x + velocity
    return total / architecture.steps


def autograd_loss(
    parameters: Parameters,
    flat: torch.Tensor,
    points: torch.Tensor,
    labels: torch.Tensor,
    *,
    penalty: str = "none",
    weight: float = 0.0,
    domain: torch.Tensor | None = None,
    gradient_prior: float = 0.0,
) -> torch.Tensor:
    """Return the loss of `closed_form.loss_and_gradient` as a differentiable tensor, summed over the seeds.

    Args:
        parameters: gives the architecture.
        flat: (S, P) weights.
        points: (S, 2, B).
        labels: (S, B), 0 or 1.
        penalty: "none", "data" or "domain".
        weight: lambda of eq. 10.
        domain: (S, 2, B') points of the domain penalty.
        gradient_prior: weight of `velocity_gradient_prior`, taken on `points`.
    """
    architecture = parameters.architecture
    kernels, readout = tensor_parameters(architecture, flat)

    def flow(x: torch.Tensor, sign: int) -> torch.Tensor:
        order = range(architecture.steps) if sign > 0 else reversed(range(architecture.steps))
        for step in order:
            x = x + sign * tensor_velocity(architecture, kernels, step % architecture.fields, x)
        return x

    logits = (readout[:, :, :PLANE] @ flow(points, 1) + readout[:, :, PLANE:])[:, 0]
    loss = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1).sum()
    where = {"none": None, "data": points, "domain": domain}[penalty]
    if where is not None:
        loss = loss + weight * (flow(flow(where, 1), -1) - where).square().sum(dim=1).mean(dim=1).sum()
    if gradient_prior:
        loss = loss + gradient_prior * velocity_gradient_prior(architecture, kernels, points).sum()
    return loss


def prior_gradient(parameters: Parameters, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the derivative of `velocity_gradient_prior` by the weights, (S, P), at points (S, 2, B)."""
    flat = torch.from_numpy(parameters.flat.copy()).requires_grad_()
    kernels, _ = tensor_parameters(parameters.architecture, flat)
    prior = velocity_gradient_prior(parameters.architecture, kernels, torch.from_numpy(points.copy()))
    (slope,) = torch.autograd.grad(prior.sum(), flat, allow_unused=True)
    return slope.numpy()
