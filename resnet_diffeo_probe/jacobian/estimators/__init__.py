"""Estimates of log|det J| from products with J and Jᵀ, for units that no exact method takes. None gives a sign."""

from resnet_diffeo_probe.jacobian.estimators.lanczos_quadrature import half_logdet_by_lanczos
from resnet_diffeo_probe.jacobian.estimators.linear_map import (
    LinearMap,
    branch_map,
    function_map,
    linearized_map,
)
from resnet_diffeo_probe.jacobian.estimators.power_series import logdet_by_power_series

__all__ = [
    "LinearMap",
    "branch_map",
    "function_map",
    "half_logdet_by_lanczos",
    "linearized_map",
    "logdet_by_power_series",
]
