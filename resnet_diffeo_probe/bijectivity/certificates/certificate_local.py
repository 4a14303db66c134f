"""The largest ball around an input on which g is proven injective (MATH.md, section 5).

For two points of the ball, g(x₁) − g(x₂) = J(Δ)(x₁ − x₂), where J(Δ) has the secant slope of every hidden unit in the
place of its derivative. A unit that cannot reach a kink within the ball has the slope that it has at the centre; the
others have one in a box. If J(Δ) is regular on the whole box, g is injective on the ball.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.certificates.classical import last_holding, units_below
from resnet_diffeo_probe.bijectivity.certificates.hidden_reach import kink_radii, reaches
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import InverseBound, inverse_bound
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import slope_range
from resnet_diffeo_probe.bijectivity.certificates.rounding import ForwardError, forward_error
from resnet_diffeo_probe.bijectivity.certificates.structured import Uncertain, feedback, robustness
from resnet_diffeo_probe.jacobian import JacobianFactorization, Linearization

__all__ = ["LocalCertificate", "local_certificate"]

# Hidden units that may change slope, at most: K is dense, and is decomposed some ten times.
_MAX_UNITS = 1024
_FIRST_UNITS = 64
_BISECTIONS = 40


@dataclass(frozen=True)
class LocalCertificate:
    """A ball on which g is injective.

    Attributes:
        p: 2 or infinity, the norm of the ball.
        radius: of the open ball; None where it is all of Rⁿ, 0 where nothing is proven.
        classical_radius: what ‖ΔJ‖ < σ_min alone proves, for comparison; None where it was not computed.
        units: hidden units that may change slope within the ball.
        criterion: how the radius was proven, for people.
        limited_by: what stopped the radius: the criterion or the number of units allowed.
        failure: J is regular, with the bound of its inverse that the radius rests on, except with a probability below
            this; 0 where that is proven.
    """

    p: float
    radius: float | None
    classical_radius: float | None
    units: int
    criterion: str
    limited_by: str
    failure: float = 0.0

    @property
    def arithmetic(self) -> str:
        """What was computed in which arithmetic, for people."""
        text = (
            "the inverse of J and all norms are bounded with their rounding; the solves of the criterion are float64 "
            "without interval arithmetic"
        )
        if not self.failure:
            return f"numerical: {text}"
        return f"numerical, except with a probability below {self.failure:.0e}: {text}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "norm": "linf" if math.isinf(self.p) else "l2",
            "radius": self.radius,
            "classical_radius": self.classical_radius,
            "units": self.units,
            "criterion": self.criterion,
            "limited_by": self.limited_by,
            "arithmetic": self.arithmetic,
        }


def local_certificate(
    factorization: JacobianFactorization,
    bounds: BranchBounds,
    *,
    p: float = 2,
    sigma_min: float | None = None,
    max_units: int = _MAX_UNITS,
    inverse: InverseBound | None = None,
) -> LocalCertificate:
    """Find the largest ball around an input that the structured criterion certifies.

    Args:
        factorization: of J at the input, float64 on the CPU, with kept factors.
        bounds: of the branch, from `branch_bounds`.
        p: 2 or infinity.
        sigma_min: a lower bound of the smallest singular value of J, for the classical radius; what the checked inverse
            proves is used where it is smaller. None: no classical radius.
        max_units: hidden units that may change slope.
        inverse: of J, checked; made here if None.

    Returns:
        The certificate; with smooth activations a weaker one, which says so.
    """
    lin = factorization.linearization
    if (forward := forward_error(lin.parent, lin.x)) is None:
        return LocalCertificate(
            p, 0.0, None, 0, "none: no bound of the rounding of this branch is known", "an operation"
        )
    inverse = inverse_bound(factorization, bounds, forward) if inverse is None else inverse
    # without a bound of the curvature nothing is known of J either, and the reason is that
    if not inverse.regular and bounds.jacobian_lipschitz is not None:
        return LocalCertificate(
            p, 0.0, None, 0, "none: J is within rounding of a singular matrix", "the Jacobian"
        )
    if not bounds.steps:
        return LocalCertificate(
            p, None, None, 0, "g is affine and its Jacobian regular", "nothing", inverse.failure
        )
    sigma_min = None if sigma_min is None else min(sigma_min, inverse.sigma_min)
    reach = reaches(lin.parent, bounds, p)
    certify = _piecewise if all(act.piecewise_linear for act in bounds.steps) else _smooth
    found = certify(_Centre(factorization, bounds, forward, inverse), reach, p, sigma_min, max_units)
    return replace(found, failure=inverse.failure)


@dataclass(frozen=True, eq=False)
class _Centre:
    """The unit at the centre of a ball, with everything that is known of it."""

    factorization: JacobianFactorization
    bounds: BranchBounds
    forward: ForwardError
    inverse: InverseBound

    def feedback_error(self, effects: Tensor, gradients: Tensor) -> float:
        """Bound how far K may be from what was computed: R (J⁻¹ − X) L with J⁻¹ − X = (I − E)⁻¹ E X, E = I − XJ."""
        known = self.inverse
        # the largest row sum of |G| bounds the largest eigenvalue of a Gram matrix G
        sizes = [math.sqrt(float(gram.abs().sum(dim=1).max())) for gram in (effects, gradients)]
        return sizes[0] * sizes[1] * known.inverse_norm * known.residual / (1 - known.residual) * (1 + 1e-9)


def _piecewise(
    centre: _Centre, reach: tuple[Tensor, ...], p: float, sigma_min: float | None, max_units: int
) -> LocalCertificate:
    factorization, bounds = centre.factorization, centre.bounds
    lin = factorization.linearization
    radii = torch.cat([r.reshape(-1) for r in kink_radii(lin, bounds, reach, centre.forward)])
    finite = int(torch.isfinite(radii).sum())
    count = min(finite, max_units)
    # one more than may change: the first that must not
    nearest, order = torch.topk(radii, min(count + 1, radii.numel()), largest=False, sorted=True)
    edges = [*nearest.tolist(), math.inf]
    every = _units(lin, _boxes(lin, bounds)).at(order[:count])
    best, tried = 0, min(_FIRST_UNITS, count)
    while True:  # K costs most: it is made larger only while all of it is certified
        units = every.first(tried)
        matrix, effects, gradients = feedback(factorization, units)
        best = _largest(matrix, units, centre.feedback_error(effects, gradients) if tried else 0.0)
        if best < tried or tried == count:
            break
        tried = min(4 * tried, count)
    classical = None
    if sigma_min is not None and len(bounds.steps) == 1:
        classical = edges[units_below(effects, gradients, units.high - units.low, sigma_min)]
    radius = edges[best]
    limited = (
        "the criterion" if best < count else "the number of units allowed" if count < finite else "nothing"
    )
    return LocalCertificate(
        p,
        None if math.isinf(radius) else radius,
        None if classical is None or math.isinf(classical) else classical,
        best,
        "regular for every slope in the box (structured singular value)",
        limited,
    )


def _largest(matrix: Tensor, units: Uncertain, error: float) -> int:
    """Return how many of the units, the first ones, may change slope; by bisection, so one more may fail to."""

    def holds(m: int) -> bool:
        return robustness(matrix[:m, :m], units.low[:m], units.high[:m], error) < 1

    count = units.cuts.numel()
    return count if holds(count) else last_holding(holds, 0, count)


def _boxes(lin: Linearization, bounds: BranchBounds) -> list[tuple[Tensor, Tensor]]:
    """Return how far the slopes of every piecewise linear activation may fall and rise."""
    boxes = []
    for act, slope in zip(bounds.steps, lin.derivatives, strict=True):
        slopes = slope_range(act, tuple(slope.shape[1:]))
        if slopes is None:
            raise ValueError(f"{act.name} is not piecewise linear")
        boxes.append((slopes[0] - slope, slopes[1] - slope))
    return boxes


def _units(lin: Linearization, boxes: list[tuple[Tensor, Tensor]]) -> Uncertain:
    """Return every hidden unit, layer after layer, with the box of its slope."""
    sizes = [z.numel() for z in lin.pre_activations]
    cuts = torch.cat([torch.full((size,), j) for j, size in enumerate(sizes, 1)])
    indices = torch.cat([torch.arange(size) for size in sizes])
    low, high = (torch.cat([end.reshape(-1) for end in ends]) for ends in zip(*boxes, strict=True))
    return Uncertain(cuts, indices, low, high)


def _smooth(
    centre: _Centre, reach: tuple[Tensor, ...], p: float, sigma_min: float | None, max_units: int
) -> LocalCertificate:
    """Bound the change of every slope by the curvature; every hidden unit may change."""
    factorization, bounds = centre.factorization, centre.bounds
    lin = factorization.linearization
    kinked = any(act.kinks and not act.piecewise_linear for act in bounds.steps)
    hidden = sum(z.numel() for z in lin.pre_activations)
    if kinked or any(curvature is None for curvature in bounds.curvatures):
        return LocalCertificate(
            p, 0.0, None, 0, "none: no bound of an activation's curvature is known", "the activation"
        )
    lipschitz = bounds.jacobian_lipschitz or 0.0
    # ‖·‖₂ ≤ √n ‖·‖_∞
    shrink = math.sqrt(lin.dimension) if math.isinf(p) else 1.0
    classical = None
    if sigma_min is not None and lipschitz > 0:
        classical = sigma_min / lipschitz / shrink
    if hidden > max_units:
        return LocalCertificate(
            p,
            classical or 0.0,
            classical,
            hidden,
            "weaker: Lipschitz constant of the Jacobian against its smallest singular value",
            f"more than {max_units} smooth hidden units",
        )
    rates, caps, slacks = [], [], []
    for act, curvature, slope, rho, bound, error in zip(
        bounds.steps,
        bounds.curvatures,
        lin.derivatives,
        reach,
        bounds.slopes,
        centre.forward.met,
        strict=True,
    ):
        if act.piecewise_linear:
            raise ValueError("branches that mix smooth and piecewise linear activations are not certified")
        rates.append((float(curvature or 0.0) * rho).reshape(-1))
        caps.append(bound + slope.abs())
        # the slope at the centre is that of a rounded pre-activation, and rounded itself
        slacks.append((float(curvature or 0.0) * error + 1e-14 * max(bound, 1.0)).reshape(-1))
    units = _units(lin, [(-cap, cap) for cap in caps])
    rate, cap, slack = torch.cat(rates) * (1 + 1e-9), units.high, torch.cat(slacks)
    matrix, effects, gradients = feedback(factorization, units)
    error_of_k = centre.feedback_error(effects, gradients)

    def holds(radius: float) -> bool:
        half = torch.minimum(rate * radius + slack, cap)
        return robustness(matrix, -half, half, error_of_k) < 1

    low, high = 0.0, 1.0
    while holds(high) and high < 1e12:
        low, high = high, 4 * high
    if high >= 1e12:
        return LocalCertificate(
            p, None, classical, hidden, "every slope that the activation can have", "nothing"
        )
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2 if low > 0 else high / 4
        low, high = (middle, high) if holds(middle) else (low, middle)
        if low > 0 and high - low < 1e-3 * low:
            break
    return LocalCertificate(
        p,
        low,
        classical,
        hidden,
        "curvature bounds on every slope, then the structured singular value (weaker than for kinks: every unit moves)",
        "the criterion",
    )
