"""The linear operations of a residual branch by their names in torch: which of them are known, and who builds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.channel_scale import batch_norm, negation, scaling, translation
from resnet_diffeo_probe.jacobian.branch.convolution import convolution, padding
from resnet_diffeo_probe.jacobian.branch.linear_operator import LinearOperator, Shape, named, pixel_count
from resnet_diffeo_probe.jacobian.branch.resampling import RESAMPLINGS, resampling

__all__ = ["linear_operator"]


def linear_operator(
    target: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    in_shape: Shape,
    *,
    channels_last: bool = False,
) -> LinearOperator | None:
    """Return the linear part of an affine operation, None if the operation is the identity up to a constant.

    Args:
        target: the torch function.
        args: its arguments after the data operand; tensors are parameters or buffers.
        kwargs: its keyword arguments.
        in_shape: (C, *spatial) of the data operand.
        channels_last: whether the operation works on (batch, *spatial, C); the operator is channels first all the same.

    Raises:
        UnsupportedUnitError: the operation is not one whose matrix is known here.
    """
    name = getattr(target, "__name__", str(target))
    builder = _BUILDERS.get(name)
    if builder is None:
        raise UnsupportedUnitError(
            f"the exact engine does not know the operation '{name}'",
            fix="units whose branch is made of convolutions, batch norms and pointwise activations are exact",
        )
    if not channels_last:
        return builder(name, args, kwargs, in_shape)
    if name not in ("linear", "mul", "multiply", "div", "true_divide", "neg", "add", "sub"):
        raise UnsupportedUnitError(f"'{name}' on channels-last data is not known to the exact engine")
    if name == "linear":
        return _linear(name, args, kwargs, in_shape, channels_last=True)
    return builder(name, [_channels_first(a, in_shape) for a in args], kwargs, in_shape)


def _channels_first(constant: Any, in_shape: Shape) -> Any:
    """Return a constant that broadcasts over (*spatial, C) so that it broadcasts over (C, *spatial)."""
    if not isinstance(constant, Tensor) or constant.dim() == 0:
        return constant
    aligned = constant.reshape((1,) * max(0, len(in_shape) - constant.dim()) + tuple(constant.shape))
    return aligned.movedim(-1, aligned.dim() - len(in_shape))


def _linear(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape, *, channels_last: bool = False
) -> LinearOperator:
    if len(in_shape) != 1 and not channels_last:
        raise UnsupportedUnitError(
            f"a linear layer on an input of shape {in_shape} mixes axes other than channels"
        )
    weight: Tensor = named(("weight", "bias"), args, kwargs)["weight"]
    return LinearOperator(
        "linear",
        in_shape,
        (int(weight.shape[0]), *in_shape[1:]),
        apply=lambda v: F.linear(v.movedim(1, -1), weight).movedim(-1, 1),
        matrix=lambda: SharedBlockMatrix.diagonal(weight, pixel_count(in_shape)),
    )


_Builder = Callable[[str, Sequence[Any], dict[str, Any], Shape], LinearOperator | None]

_BUILDERS: dict[str, _Builder] = {
    "conv1d": convolution,
    "conv2d": convolution,
    "conv3d": convolution,
    "batch_norm": batch_norm,
    "linear": _linear,
    "pad": padding,
    "mul": scaling,
    "multiply": scaling,
    "div": scaling,
    "true_divide": scaling,
    "neg": negation,
    "add": translation,
    "sub": translation,
    **dict.fromkeys(RESAMPLINGS, resampling),
}
