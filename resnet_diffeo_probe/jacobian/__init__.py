"""A residual unit linearised at an input: exact determinant, extreme singular values, solves, critical step."""

from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearized.jacobian_at import JacobianAt
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.determinant import Determinant, determinant
from resnet_diffeo_probe.jacobian.measures.measure import QUANTITIES, measure
from resnet_diffeo_probe.jacobian.measures.spectrum import (
    largest_singular_value,
    leftmost_real_eigenvalues,
    smallest_singular_value,
)

__all__ = [
    "QUANTITIES",
    "Determinant",
    "JacobianAt",
    "JacobianFactorization",
    "Linearization",
    "UnitJacobian",
    "determinant",
    "largest_singular_value",
    "leftmost_real_eigenvalues",
    "measure",
    "smallest_singular_value",
]
