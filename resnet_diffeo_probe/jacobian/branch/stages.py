"""The non-linear steps of a branch, each with its derivative at an input.

A derivative is local (a diagonal, or one block a pixel) plus terms of low rank: what passes through a few numbers that
gather the whole image, such as the gates of squeeze-and-excitation or the moments of a group norm. The terms enter the
determinant by the matrix determinant lemma (MATH.md, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.branch.activations import Pointwise

__all__ = [
    "DenseStage",
    "GroupNormStage",
    "LowRankTerm",
    "PointwiseStage",
    "PositionNormStage",
    "Stage",
    "StageDerivative",
]


@dataclass(frozen=True)
class LowRankTerm:
    """The part of a stage's output that moves with a few numbers z of the input.

    Attributes:
        z: (k,) the numbers, attached to the graph of automatic differentiation down to the unit's input.
        columns: (k, C, *spatial) the derivative of the stage's output by each of them.
    """

    z: Tensor
    columns: Tensor


@dataclass(frozen=True)
class StageDerivative:
    """A stage at an input.

    Attributes:
        output: (1, C, *spatial), attached to the graph where the input is.
        local: (1, C, *spatial) the diagonal, or (P, C, C) one block a pixel.
        terms: of low rank.
        kinked: coordinates on a kink inside the stage that are not those of its own input.
    """

    output: Tensor
    local: Tensor
    terms: tuple[LowRankTerm, ...] = ()
    kinked: int = 0


class Stage(Protocol):
    """One non-linear step."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def piecewise_linear(self) -> bool:
        """Whether the step is linear between kinks."""

    @property
    def per_pixel(self) -> bool:
        """Whether its local derivative is one block a pixel and not a diagonal."""

    @property
    def gathers(self) -> bool:
        """Whether it has terms of low rank."""

    def at(self, h: Tensor) -> StageDerivative:
        """Return output and derivative at h, (1, C, *spatial)."""

    def on_kink(self, h: Tensor) -> Tensor:
        """Return which coordinates of h are on a kink."""


@dataclass(frozen=True)
class PointwiseStage:
    """An activation of every coordinate alone."""

    activation: Pointwise
    per_pixel = False
    gathers = False

    @property
    def name(self) -> str:
        """Name of the torch function."""
        return self.activation.name

    @property
    def piecewise_linear(self) -> bool:
        """As the activation."""
        return self.activation.piecewise_linear

    def at(self, h: Tensor) -> StageDerivative:
        """Return activation and diagonal."""
        return StageDerivative(self.activation.function(h), self.activation.derivative(h))

    def on_kink(self, h: Tensor) -> Tensor:
        """As the activation."""
        return self.activation.on_kink(h)


class _Smooth:
    piecewise_linear = False

    def on_kink(self, h: Tensor) -> Tensor:
        """No coordinate is."""
        return torch.zeros_like(h, dtype=torch.bool)


@dataclass(frozen=True)
class PositionNormStage(_Smooth):
    """Layer norm over the channels of each pixel: one block a pixel.

    y = γ (h − μ)/σ + β gives dy = γ/σ (I − 1 1ᵀ/C − ĥ ĥᵀ/C) dh with ĥ = (h − μ)/σ (Ba, Kiros and Hinton, 2016).
    """

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    name = "layer norm"
    per_pixel = True
    gathers = False

    def at(self, h: Tensor) -> StageDerivative:
        """Return the normalised pixels and one (C, C) block for each."""
        channels = h.shape[1]
        last = h.movedim(1, -1)
        output = torch.nn.functional.layer_norm(last, (channels,), self.weight, self.bias, self.eps).movedim(
            -1, 1
        )
        with torch.no_grad():
            pixels = h.detach().reshape(channels, -1).mT
            centred = pixels - pixels.mean(dim=1, keepdim=True)
            sigma = (centred.square().mean(dim=1, keepdim=True) + self.eps).sqrt()
            unit = centred / sigma
            eye = torch.eye(channels, dtype=h.dtype, device=h.device)
            blocks = (eye - 1 / channels - unit[:, :, None] * unit[:, None, :] / channels) / sigma[:, :, None]
            if self.weight is not None:
                blocks = blocks * self.weight[None, :, None]
        return StageDerivative(output, blocks)


@dataclass(frozen=True)
class GroupNormStage(_Smooth):
    """Group norm (one group: layer norm over all of an image; a group a channel: instance norm).

    y = γ (h − μ) ρ + β with ρ = 1/σ: the diagonal γρ, and the terms −γρ dμ and γ(h − μ) dρ, two for each group.
    """

    groups: int
    weight: Tensor | None  # broadcastable to (C, *spatial)
    bias: Tensor | None
    eps: float
    name = "group norm"
    per_pixel = False
    gathers = True

    def at(self, h: Tensor) -> StageDerivative:
        """Return the normalised image, the diagonal and the terms of mean and inverse deviation."""
        shape = h.shape[1:]
        grouped = h.reshape(self.groups, -1)
        mean = grouped.mean(dim=1)
        inverse = (grouped.var(dim=1, unbiased=False) + self.eps).rsqrt()
        gamma = (
            torch.ones(shape, dtype=h.dtype, device=h.device)
            if self.weight is None
            else self.weight.expand(shape)
        )
        centred = (grouped - mean[:, None]).reshape(shape)
        spread = inverse[:, None].expand_as(grouped).reshape(shape)
        output = gamma * centred * spread
        if self.bias is not None:
            output = output + self.bias.expand(shape)
        with torch.no_grad():
            member = torch.arange(self.groups, device=h.device)[:, None].expand_as(grouped).reshape(shape)
            one_hot = (
                member[None] == torch.arange(self.groups, device=h.device).reshape(-1, *(1,) * len(shape))
            ).to(h)
            by_mean = -one_hot * (gamma * spread)
            by_inverse = one_hot * (gamma * centred)
            columns = torch.cat([by_mean, by_inverse]).detach()
        return StageDerivative(
            output[None], (gamma * spread)[None].detach(), (LowRankTerm(torch.cat([mean, inverse]), columns),)
        )


@dataclass(frozen=True)
class DenseStage(_Smooth):
    """A whole branch of few coordinates as one block: whatever it computes, differentiated coordinate by coordinate."""

    function: Callable[[Tensor], Tensor]
    name = "dense Jacobian"
    per_pixel = True
    gathers = False

    def at(self, h: Tensor) -> StageDerivative:
        """Return F and its dense Jacobian as the only block."""
        output = self.function(h)
        jacobian: Tensor = torch.autograd.functional.jacobian(self.function, h.detach())
        return StageDerivative(output, jacobian.detach().reshape(1, output.numel(), h.numel()))
