"""What in the image a unit's smallest singular value depends on.

With J v = σ u, the derivative of σ is uᵀ dJ v. For a smooth branch that is a gradient of log σ by the pixels. A
piecewise linear branch has a constant J around almost every input, so there it is zero; the right singular vector v is
the direction in the unit's input that the sum map narrows most, and its pull-back to the image shows which pixels move
the unit's input along it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.attr import Saliency
from torch import Tensor, fx

from resnet_diffeo_probe.attribution.network import NotAttributableError, TappedNetwork
from resnet_diffeo_probe.attribution.violation import PixelMap
from resnet_diffeo_probe.jacobian import JacobianFactorization
from resnet_diffeo_probe.jacobian.measures.singular_vector import smallest_singular_vector
from resnet_diffeo_probe.units import ResidualUnit

__all__ = ["SingularTriple", "log_sigma_min_map", "narrow_direction_map", "smallest_triple"]

# ‖Jᵀu − σ v‖ relative to σ above which the vectors are not used; inverse iterations that may bring it there.
_RESIDUAL = 1e-6
_POLISHES = 20


@dataclass(frozen=True, slots=True, eq=False)
class SingularTriple:
    """J v = σ u with the smallest σ, ‖u‖ = ‖v‖ = 1.

    Attributes:
        sigma: the singular value, positive.
        left: (1, *shape) u, in the sum's space.
        right: (1, *shape) v, in the input's space.
    """

    sigma: float
    left: Tensor
    right: Tensor


def smallest_triple(factorization: JacobianFactorization, *, seed: int = 0) -> SingularTriple:
    """Find the smallest singular value of J with both vectors.

    Args:
        factorization: of J, with its factors kept.
        seed: of the start vector.

    Raises:
        NotAttributableError: the iterations do not converge, J is singular to working precision, or the value is
            not resolved from its neighbours.
    """
    lin = factorization.linearization
    try:
        right, _ = smallest_singular_vector(factorization, seed=seed)
    except ArithmeticError as error:
        raise NotAttributableError(str(error)) from error
    for _ in range(_POLISHES):
        image = lin.apply(right)
        sigma = float(torch.linalg.vector_norm(image))
        if not 0 < sigma < float("inf"):
            raise NotAttributableError("J is singular to working precision: log σ_min is minus infinity")
        left = image / sigma
        if float(torch.linalg.vector_norm(lin.apply_transpose(left) - sigma * right)) <= _RESIDUAL * sigma:
            return SingularTriple(sigma, left, right)
        right = factorization.solve(factorization.solve_transpose(right))
        right = right / torch.linalg.vector_norm(right)
    raise NotAttributableError("the smallest singular value was not resolved from its neighbours")


def log_sigma_min_map(
    network: TappedNetwork, unit: ResidualUnit, x: Tensor, triple: SingularTriple
) -> PixelMap:
    """Return the gradient of log σ_min by the pixels, with J and its vectors at the input.

    Args:
        network: the network; of the dtype of the triple.
        unit: one of its units that keeps the dimension.
        x: (1, *shape) the input of the network.
        triple: of the unit there.

    Raises:
        NotAttributableError: the gradient is exactly zero: the branch is linear around the input.
    """
    # J may have been factorised on another device
    left, right = triple.left.to(x), triple.right.to(x)

    def log_sigma(inputs: Tensor) -> Tensor:
        z = network.value(inputs, unit, "input")
        direction = right.expand_as(z)
        stretched = (left * (direction + _derivative(unit.branch, z, direction))).flatten(1).sum(1)
        # a linear branch leaves nothing that depends on the input, which captum would take for a mistake
        return stretched.log() + (0 * inputs).flatten(1).sum(1)

    gradient = _gradient(log_sigma, x)
    if not bool(gradient.any()):
        raise NotAttributableError("the branch is linear around the input: log σ_min does not change with it")
    return PixelMap(unit.name, "log_sigma_min", gradient[0], math.log(triple.sigma))


def narrow_direction_map(
    network: TappedNetwork, unit: ResidualUnit, x: Tensor, triple: SingularTriple
) -> PixelMap:
    """Return the gradient by the pixels of the unit's input along the right singular vector.

    Args:
        network: as in `log_sigma_min_map`.
        unit: likewise.
        x: likewise.
        triple: likewise.
    """
    right = triple.right.to(x)

    def along(inputs: Tensor) -> Tensor:
        return (right * network.value(inputs, unit, "input")).flatten(1).sum(1)

    return PixelMap(unit.name, "narrow_direction", _gradient(along, x)[0], triple.sigma)


def _gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    gradient = Saliency(function).attribute(x.detach().clone().requires_grad_(), abs=False)
    if not bool(torch.isfinite(gradient).all()):
        raise NotAttributableError("the gradient is not finite")
    return gradient.detach()


def _derivative(branch: fx.GraphModule, z: Tensor, direction: Tensor) -> Tensor:
    """Return J_F(z) direction, differentiable by z: the derivative of Jᵀw by w, twice backward."""
    output = branch.forward(z)
    weights = torch.zeros_like(output).requires_grad_()
    (pulled,) = torch.autograd.grad(output, z, weights, create_graph=True, materialize_grads=True)
    (pushed,) = torch.autograd.grad(pulled, weights, direction, create_graph=True, materialize_grads=True)
    return pushed
