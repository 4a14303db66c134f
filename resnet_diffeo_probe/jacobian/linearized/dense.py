"""The slow, honest way: the whole Jacobian by automatic differentiation. For small n, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["dense_jacobian", "dense_logdet"]


def dense_jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the Jacobian of a function of one input by reverse-mode differentiation.

    Args:
        function: (1, *in_shape) -> (1, *out_shape).
        x: (1, *in_shape).

    Returns:
        (out, in) matrix of the flattened tensors, in the dtype of x. Memory: out·in numbers.
    """
    jacobian: Tensor = torch.autograd.functional.jacobian(function, x)
    return jacobian.detach().reshape(-1, x.numel())


def dense_logdet(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, float]:
    """Return (sign, log|det|) of the dense Jacobian of a function that keeps the dimension.

    Raises:
        ValueError: the Jacobian is not square.
    """
    jacobian = dense_jacobian(function, x)
    if jacobian.shape[0] != jacobian.shape[1]:
        raise ValueError(f"the Jacobian is {tuple(jacobian.shape)}: it has no determinant")
    sign, logabsdet = torch.linalg.slogdet(jacobian)
    return int(sign), float(logabsdet)
