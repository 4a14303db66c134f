"""A proof that g = id + F is a bijection of Rⁿ: Lip(F) < 1 by an upper bound (MATH.md, section 5).

If F contracts, x ↦ y − F(x) has exactly one fixed point for every y (Banach 1922), and the inverse has the Lipschitz
constant 1/(1 − Lip F); Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, Invertible Residual Networks, ICML 2019. The
bound is a product over layers, never an estimate by power iteration, which lies below the norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import kinked_steps, norm
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import slope_bound
from resnet_diffeo_probe.bijectivity.certificates.operator_norm import NormBound, norm_bound
from resnet_diffeo_probe.jacobian import Linearization, UnitJacobian
from resnet_diffeo_probe.jacobian.branch.segments import Segment

__all__ = ["GlobalCertificate", "LayerBound", "global_certificate", "jacobian_norm"]

# Folding a batch norm into a convolution and multiplying the layers rounds; this is far more than it can do.
_ROUNDING = 1e-12
_POWER_ITERATIONS = 50


@dataclass(frozen=True)
class LayerBound:
    """The Lipschitz constant of one piece of a branch.

    Attributes:
        name: its operations, for people.
        upper: proven bound; None where none is known.
        lower: from power iteration, None for activations.
        method: how the bound was had.
    """

    name: str
    upper: float | None
    lower: float | None
    method: str


@dataclass(frozen=True)
class GlobalCertificate:
    """What an upper bound of Lip(F) says.

    Attributes:
        unit: its name.
        upper: proven bound of Lip(F); None where a piece has none.
        lower: a lower bound, the largest ‖J_F(x)‖₂ found by power iteration; None if no input was given.
        layers: the pieces, in order.
        reason: why there is no bound.
    """

    unit: str
    upper: float | None
    lower: float | None
    layers: tuple[LayerBound, ...]
    reason: str | None = None

    @property
    def holds(self) -> bool:
        """Whether g is proven to be a bijection of Rⁿ."""
        return self.upper is not None and self.upper < 1

    @property
    def inverse_lipschitz(self) -> float | None:
        """Lipschitz constant of the inverse where the certificate holds."""
        return 1 / (1 - self.upper) if self.upper is not None and self.upper < 1 else None

    #: On which domain, and in which arithmetic.
    domain = "Rⁿ"
    arithmetic = (
        "rigorous: the rounding of the bound is bounded; it speaks of the map in exact arithmetic with the stored "
        "weights, and trusts the linear algebra library to round its products as usual"
    )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "proof": "Lip(F) < 1 (Banach)" if self.holds else None,
            "lipschitz_upper": self.upper,
            "lipschitz_lower": self.lower,
            "inverse_lipschitz": self.inverse_lipschitz,
            "layers": [
                {"name": b.name, "upper": b.upper, "lower": b.lower, "method": b.method} for b in self.layers
            ],
            "reason": self.reason,
        }


def global_certificate(
    jacobian: UnitJacobian, *, x: Tensor | None = None, lower: bool = True
) -> GlobalCertificate:
    """Bound Lip(F) from above.

    Args:
        jacobian: of the unit.
        x: (1, *shape) an input, for a lower bound to compare with.
        lower: whether to run power iterations for the gap.

    Returns:
        The certificate; it may not hold, and may have no bound at all, with the reason.
    """
    steps = kinked_steps(jacobian)
    if steps is None or getattr(jacobian, "not_read", None):
        return GlobalCertificate(jacobian.name, None, None, (), "a step of the branch is not pointwise")
    layers: list[LayerBound] = []
    upper: float | None = 1.0
    reason = None
    for index, segment in enumerate(jacobian.chain.segments):
        layers.append(segment_bound(segment, lower=lower))
        if index < len(steps):
            act = steps[index]
            slope = slope_bound(act)
            layers.append(LayerBound(act.name, slope, None, "none" if slope is None else "known constant"))
    for layer in layers:
        if layer.upper is None:
            upper, reason = None, f"no bound of the slope of {layer.name} is known"
            break
        upper = None if upper is None else upper * layer.upper
    if upper is not None:
        upper *= 1 + _ROUNDING
    below = jacobian_norm(jacobian.at(x)) if lower and x is not None else None
    return GlobalCertificate(jacobian.name, upper, below, tuple(layers), reason)


def segment_bound(segment: Segment, *, lower: bool = False) -> LayerBound:
    """Bound the norm of the linear operations between two activations, together if that is one convolution.

    Args:
        segment: the operations.
        lower: whether to run power iterations for the gap.
    """
    name = " · ".join(operator.name for operator in segment.operators) or "identity"
    if not segment.operators:
        return LayerBound(name, 1.0, 1.0, "exact")
    whole = norm_bound(segment.matrix, segment.out_shape[1:], segment.in_shape[1:])
    if len(segment.operators) > 1:
        # several convolutions in a row are no single one at the border: their product may be the better bound
        product, method = 1.0, "torus"
        for operator in segment.operators:
            part: NormBound = norm_bound(operator.matrix(), operator.out_shape[1:], operator.in_shape[1:])
            product, method = product * part.value, method if part.method == "torus" else part.method
        if product < whole.value:
            whole = NormBound(product, method)
    return LayerBound(
        name, whole.value * (1 + _ROUNDING), _segment_norm(segment) if lower else None, whole.method
    )


def _segment_norm(segment: Segment) -> float:
    """Return a lower bound of a segment's norm by power iteration on SᵀS."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(1, *segment.in_shape, generator=generator, dtype=torch.float64).to(segment.example)
    size = 0.0
    for _ in range(_POWER_ITERATIONS):
        image = segment.apply(v / norm(v))
        size = norm(image)
        v = segment.apply_transpose(image)
        if norm(v) == 0:
            return 0.0
    return size


def jacobian_norm(lin: Linearization, *, seed: int = 0) -> float:
    """Return a lower bound of ‖J_F(x)‖₂ by power iteration: it only ever lies below the norm.

    Args:
        lin: the unit at an input.
        seed: of the start vector.
    """
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(lin.x.shape, generator=generator, dtype=torch.float64).to(lin.x)
    size = 0.0
    for _ in range(_POWER_ITERATIONS):
        v = v / norm(v)
        image = lin.apply(v) - v
        size = norm(image)
        v = lin.apply_transpose(image) - image
        if norm(v) == 0:
            return 0.0
    return size
