"""Operations that scale every channel by a number of its own, and those that add constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape, named, pixel_count

__all__ = ["batch_norm", "negation", "scaling", "translation"]


def batch_norm(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    """Return a batch norm in eval mode, without its constants.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: it uses the statistics of its batch.
    """
    given = named(
        ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"), args, kwargs
    )
    if given.get("training") or given.get("running_var") is None:
        raise UnsupportedUnitError(
            "a batch norm uses the statistics of its batch, so the unit is no function of one input",
            fix="put the model in eval mode with running statistics: model.eval()",
        )
    scale = torch.rsqrt(given["running_var"] + given.get("eps", 1e-5))
    if given.get("weight") is not None:
        scale = scale * given["weight"]
    return _channel_scale("batch norm", scale, in_shape)


def scaling(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator | None:
    """Return the multiplication with, or division by, a number or one number a channel.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: it scales pixels differently, or rounds.
    """
    factor = args[0] if args else kwargs["other"]
    if kwargs.get("rounding_mode") is not None:
        raise UnsupportedUnitError(f"'{name}' with rounding is not differentiable")
    if not isinstance(factor, Tensor):  # a Python number is a double: torch would make it a float32 tensor
        factor = torch.tensor(factor, dtype=torch.float64, device="cpu")
    elif not factor.is_floating_point():
        factor = factor.to(torch.float64)
    if name in ("div", "true_divide"):
        factor = factor.reciprocal()
    if factor.dim() > len(in_shape):  # a leading batch axis of one
        factor = factor.reshape(factor.shape[factor.dim() - len(in_shape) :])
    aligned = factor.reshape((1,) * (len(in_shape) - factor.dim()) + tuple(factor.shape))
    if any(size != 1 for size in aligned.shape[1:]) or aligned.shape[0] not in (1, in_shape[0]):
        raise UnsupportedUnitError(
            f"'{name}' by a tensor of shape {tuple(factor.shape)} scales pixels differently"
        )
    return _channel_scale("scale", aligned.reshape(-1).expand(in_shape[0]), in_shape)


def negation(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    """Return −x; arguments and errors as of `scaling`."""
    return scaling("mul", [-1.0], {}, in_shape)


def translation(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    """Return None for the addition or subtraction of c: a constant moves no derivative, unless it widens the shape.

    Args:
        name: torch's function.
        args: its arguments after the data operand.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.

    Raises:
        UnsupportedUnitError: it widens the shape.
    """
    other = args[0] if args else kwargs["other"]
    if isinstance(other, Tensor) and torch.broadcast_shapes((1, *in_shape), other.shape) != (1, *in_shape):
        raise UnsupportedUnitError(f"'{name}' of a tensor of shape {tuple(other.shape)} widens the branch")
    return None


def _channel_scale(name: str, scale: Tensor, in_shape: Shape) -> LinearOperator:
    column = scale.reshape(-1, *(1,) * (len(in_shape) - 1))

    def apply(v: Tensor) -> Tensor:
        return v * column.to(v)

    return LinearOperator(
        name,
        in_shape,
        in_shape,
        apply=apply,
        matrix=lambda: SharedBlockMatrix.diagonal(torch.diag(scale), pixel_count(in_shape)),
        known_transpose=apply,
    )
