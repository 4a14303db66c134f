"""Inverse-consistency errors of a unit at an input, as findings (eq. 9 and 10 of the paper; MATH.md, section 1).

A point x goes forward to y = g(x) and back again in three ways: by the paper's backward Euler step y − F(y), by the
fixed point of x ← y − F(x), and by the exact inverse. The error is ‖back − x‖ / ‖x‖. The exact inverse starts without
knowledge of x; where folds stop it there, it starts again at a random point near x, and says so. Where it ends at
another preimage than x, that point and x are a witness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import norm, sum_map
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import BranchBounds
from resnet_diffeo_probe.bijectivity.inverse.inverse import FixedPoint, fixed_point, invert
from resnet_diffeo_probe.bijectivity.witnesses.witness import SEPARATION
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = ["INVERSE_QUANTITIES", "NEAR", "InverseConsistency", "inverse_consistency", "nearby"]

#: Names of the three findings, in the order in which they are stored.
INVERSE_QUANTITIES = ("inverse_error_euler", "inverse_error_fixed_point", "inverse_error_exact")

#: How far from x, relative to ‖x‖, the exact inverse starts where it must start near x.
NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class InverseConsistency:
    """The three errors at one input.

    Attributes:
        findings: by name, those of `INVERSE_QUANTITIES`.
        other_preimage: (1, *shape) a point far from x with the image of x, where the exact inverse ended at one.
    """

    findings: dict[str, Finding]
    other_preimage: Tensor | None


def inverse_consistency(
    jacobian: UnitJacobian,
    x: Tensor,
    *,
    certificate: GlobalCertificate | None = None,
    bounds: BranchBounds | None = None,
    max_factorizations: int = 6,
    seed: int = 0,
    exact: bool = True,
) -> InverseConsistency:
    """Go forward and back three ways.

    Args:
        jacobian: of the unit.
        x: (1, *shape).
        certificate: of the unit, for the error bound where it holds.
        bounds: of the branch, for the error bound; made if None.
        max_factorizations: limit for each of the two starts of the exact inverse.
        seed: of the start near x.
        exact: whether to compute the exact inverse, by far the most expensive of the three.
    """
    size, dtype = norm(x), str(x.dtype).removeprefix("torch.")
    if size == 0:
        none = Finding.missing(Status.INFINITE, "the unit's input is zero", Evidence.EXACT)
        return InverseConsistency(dict.fromkeys(INVERSE_QUANTITIES, none), None)
    y = sum_map(jacobian, x)
    euler = 2 * y - sum_map(jacobian, y)
    findings = {"inverse_error_euler": _error(norm(euler - x) / size, dtype)}
    iteration = fixed_point(jacobian, y)
    findings["inverse_error_fixed_point"] = _fixed_point_finding(iteration, x, size, dtype)
    if not exact:
        return InverseConsistency(findings, None)
    inverse = invert(
        jacobian,
        y,
        iteration.x if iteration.contracted else None,
        certificate=certificate,
        bounds=bounds,
        max_factorizations=max_factorizations,
        try_fixed_point=False,
    )
    start = "started without knowledge of x"
    if not inverse.converged:
        near = nearby(x, NEAR, seed)
        start = f"stopped by folds without knowledge of x ({inverse.reason}); started within {NEAR:g} of x"
        inverse = invert(
            jacobian,
            y,
            near,
            certificate=certificate,
            bounds=bounds,
            max_factorizations=max_factorizations,
            try_fixed_point=False,
        )
    if not inverse.converged:
        findings["inverse_error_exact"] = Finding.missing(
            Status.NOT_CONVERGED, f"Newton's method: {inverse.reason}"
        )
        return InverseConsistency(findings, None)
    distance = norm(inverse.x - x)
    other = distance >= SEPARATION * size
    bound = (
        inverse.error.proof if inverse.error.value is not None else f"no error bound: {inverse.error.proof}"
    )
    reason = f"{start}; {'it ended at another preimage; ' if other else ''}{bound}"
    findings["inverse_error_exact"] = Finding(
        distance / size, error=inverse.relative_error, dtype=dtype, seed=seed, reason=reason
    )
    return InverseConsistency(findings, inverse.x if other else None)


def nearby(x: Tensor, relative: float, seed: int) -> Tensor:
    """Return a random point at a distance of `relative`·‖x‖ from x."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    return x + relative * norm(x) / norm(noise) * noise


def _error(value: float, dtype: str) -> Finding:
    try:
        return Finding(value, dtype=dtype)
    except ValueError:  # it overflowed
        return Finding.missing(Status.INFINITE, "the step back overflows", Evidence.EXACT)


def _fixed_point_finding(iteration: FixedPoint, x: Tensor, size: float, dtype: str) -> Finding:
    if not iteration.contracted:
        reason = (
            f"x ← y − F(x) does not contract: after {iteration.iterations} steps the residual changes by a factor of "
            f"{iteration.rate:.2g} a step"
        )
        return Finding.missing(Status.NOT_CONVERGED, reason)
    return Finding(norm(iteration.x - x) / size, dtype=dtype)
