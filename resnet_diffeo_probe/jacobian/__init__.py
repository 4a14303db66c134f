"""A residual unit linearised at an input: exact determinant, extreme singular values, solves, critical step."""

from resnet_diffeo_probe.jacobian.determinant import Determinant, determinant
from resnet_diffeo_probe.jacobian.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures import QUANTITIES, measure
from resnet_diffeo_probe.jacobian.spectrum import (
    largest_singular_value,
    leftmost_real_eigenvalues,
    smallest_singular_value,
)
from resnet_diffeo_probe.jacobian.unit_jacobian import UnitJacobian

__all__ = [
    "QUANTITIES",
    "Determinant",
    "JacobianFactorization",
    "Linearization",
    "UnitJacobian",
    "determinant",
    "largest_singular_value",
    "leftmost_real_eigenvalues",
    "measure",
    "smallest_singular_value",
]
