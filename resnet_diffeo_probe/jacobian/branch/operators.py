"""The linear operations of a residual branch, each as a function and as a block-sparse matrix over pixels.

Padding is never reasoned about: the indices of the pixels themselves are padded by torch's own `pad` in the
operation's own mode, and the matrix is read off where they went.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import IntArray, SharedBlockMatrix

__all__ = ["LinearOperator", "linear_operator"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LinearOperator:
    """The linear part of one operation on tensors of shape (batch, C, *spatial); vectors have no spatial axes.

    Attributes:
        name: the operation, for people.
        in_shape: (C, *spatial) it takes.
        out_shape: (C, *spatial) it gives.
        apply: (B, *in_shape) -> (B, *out_shape), without the constant part (biases).
        matrix: builds the same map as a matrix, rows and columns ordered by pixel, then channel.
        known_transpose: (B, *out_shape) -> (B, *in_shape), where torch has it; else `apply` is differentiated.
    """

    name: str
    in_shape: Shape
    out_shape: Shape
    apply: Callable[[Tensor], Tensor]
    matrix: Callable[[], SharedBlockMatrix]
    known_transpose: Callable[[Tensor], Tensor] | None = None

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return the transposed map's image, (B, *out_shape) -> (B, *in_shape)."""
        if self.known_transpose is not None:
            with torch.no_grad():
                return self.known_transpose(u)
        with torch.enable_grad():
            zero = u.new_zeros(u.shape[0], *self.in_shape).requires_grad_()
            (pulled,) = torch.autograd.grad(self.apply(zero), zero, u)
        return pulled


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


def pixel_count(shape: Shape) -> int:
    """Return the number of pixels of (C, *spatial)."""
    return math.prod(shape[1:])


def _bind(names: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name the positional arguments of a builtin, which has no signature to ask."""
    return dict(zip(names, args, strict=False)) | kwargs


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values


def _padded_sources(spatial: Shape, pad: Sequence[int], mode: str) -> IntArray:
    """Return, for each pixel of the padded image, the pixel it shows; -1 where padding put a constant.

    `pad` is in torch's order: (before, after) of the last axis first.
    """
    # float64 holds every index below 2^53; reflect and circular padding take no integers
    index = torch.arange(1, 1 + math.prod(spatial), dtype=torch.float64, device="cpu").reshape(1, 1, *spatial)
    padded = F.pad(index, list(pad), mode=mode) if any(pad) else index
    return padded[0, 0].numpy().astype(np.int64) - 1


def _convolution(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    axes = int(name[4])
    if len(in_shape) != axes + 1:
        raise UnsupportedUnitError(f"{name} on an input of shape {in_shape}: a batch axis is missing")
    given = _bind(("weight", "bias", "stride", "padding", "dilation", "groups"), args, kwargs)
    weight: Tensor = given["weight"]
    stride = _per_axis(given.get("stride", 1), axes)
    dilation = _per_axis(given.get("dilation", 1), axes)
    groups = int(given.get("groups", 1))
    padding = given.get("padding", 0)
    spatial, kernel = in_shape[1:], tuple(weight.shape[2:])
    if padding == "valid":
        padding = 0
    if padding == "same":  # torch pads the odd one, if any, behind
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in _per_axis(padding, axes)]
    out_spatial = tuple(
        (s + sum(p) - d * (k - 1) - 1) // st + 1
        for s, p, d, k, st in zip(spatial, pads, dilation, kernel, stride, strict=True)
    )
    function = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[axes]

    def matrix() -> SharedBlockMatrix:
        sources = _padded_sources(spatial, [p for pair in reversed(pads) for p in pair], "constant")
        rows, cols, ids = [], [], []
        for tap, offset in enumerate(product(*(range(k) for k in kernel))):
            window = tuple(
                slice(o * d, o * d + st * (n - 1) + 1, st)
                for o, d, st, n in zip(offset, dilation, stride, out_spatial, strict=True)
            )
            source = sources[window].reshape(-1)
            seen = np.flatnonzero(source >= 0)
            rows.append(seen)
            cols.append(source[seen])
            ids.append(np.full(seen.size, tap, dtype=np.int64))
        return SharedBlockMatrix.from_entries(
            _ungrouped(weight, groups).flatten(2).permute(2, 0, 1).contiguous(),
            np.concatenate(rows),
            np.concatenate(cols),
            np.concatenate(ids),
            pixels_out=math.prod(out_spatial),
            pixels_in=math.prod(spatial),
        )

    backward = {1: conv1d_input, 2: conv2d_input, 3: conv3d_input}[axes]

    def transpose(u: Tensor) -> Tensor:
        return backward((u.shape[0], *in_shape), weight, u, stride, padding, dilation, groups)

    return LinearOperator(
        name=f"{'×'.join(map(str, kernel))} convolution",
        in_shape=in_shape,
        out_shape=(int(weight.shape[0]), *out_spatial),
        apply=lambda v: function(v, weight, None, stride, padding, dilation, groups),
        matrix=matrix,
        known_transpose=None if padding == "same" else transpose,
    )


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """Return the (C_out, C_in, *kernel) weight that a grouped convolution's (C_out, C_in / groups, …) stands for."""
    if groups == 1:
        return weight
    c_out, per_group = int(weight.shape[0]) // groups, int(weight.shape[1])
    full = weight.new_zeros(weight.shape[0], per_group * groups, *weight.shape[2:])
    for g in range(groups):
        rows = slice(g * c_out, (g + 1) * c_out)
        full[rows, g * per_group : (g + 1) * per_group] = weight[rows]
    return full


def _batch_norm(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    given = _bind(
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


def _scaling(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
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


def _negation(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    return _scaling("mul", [-1.0], {}, in_shape)


def _translation(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape
) -> LinearOperator | None:
    """Adding or subtracting c: a constant moves no derivative, unless it widens the shape."""
    other = args[0] if args else kwargs["other"]
    if isinstance(other, Tensor) and torch.broadcast_shapes((1, *in_shape), other.shape) != (1, *in_shape):
        raise UnsupportedUnitError(f"'{name}' of a tensor of shape {tuple(other.shape)} widens the branch")
    return None


def _padding(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    given = _bind(("pad", "mode", "value"), args, kwargs)
    pad, mode = [int(p) for p in given["pad"]], given.get("mode", "constant")
    spatial = in_shape[1:]
    if len(pad) > 2 * len(spatial):
        raise UnsupportedUnitError(
            "a padding that adds channels inside the branch is not known to the exact engine"
        )
    sources = _padded_sources(spatial, pad, mode)
    seen = np.flatnonzero(sources.reshape(-1) >= 0)

    def matrix() -> SharedBlockMatrix:
        return SharedBlockMatrix.from_entries(
            torch.eye(in_shape[0], dtype=torch.float64, device="cpu")[None],
            seen,
            sources.reshape(-1)[seen],
            np.zeros(seen.size, dtype=np.int64),
            pixels_out=sources.size,
            pixels_in=math.prod(spatial),
        )

    return LinearOperator(
        f"{mode} padding",
        in_shape,
        (in_shape[0], *sources.shape),
        apply=lambda v: F.pad(v, pad, mode=mode),
        matrix=matrix,
    )


def _linear(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape, *, channels_last: bool = False
) -> LinearOperator:
    if len(in_shape) != 1 and not channels_last:
        raise UnsupportedUnitError(
            f"a linear layer on an input of shape {in_shape} mixes axes other than channels"
        )
    weight: Tensor = _bind(("weight", "bias"), args, kwargs)["weight"]
    return LinearOperator(
        "linear",
        in_shape,
        (int(weight.shape[0]), *in_shape[1:]),
        apply=lambda v: F.linear(v.movedim(1, -1), weight).movedim(-1, 1),
        matrix=lambda: SharedBlockMatrix.diagonal(weight, pixel_count(in_shape)),
    )


# Pixels of a basis that go through a resampling at a time.
_BASIS = 512


def _resampling(name: str, args: Sequence[Any], kwargs: dict[str, Any], in_shape: Shape) -> LinearOperator:
    """Average pooling and interpolation: the same linear map of pixels in every channel, read off a basis."""
    mode = kwargs.get("mode", args[2] if name == "interpolate" and len(args) > 2 else "nearest")
    if name == "interpolate" and mode not in (
        "nearest",
        "nearest-exact",
        "linear",
        "bilinear",
        "trilinear",
        "bicubic",
        "area",
    ):
        raise UnsupportedUnitError(f"interpolation of mode '{mode}' is not known to the exact engine")
    function = _RESAMPLINGS[name]

    def apply(v: Tensor) -> Tensor:
        return function(v, *args, **kwargs)

    spatial = in_shape[1:]
    out_spatial = tuple(apply(torch.zeros(1, 1, *spatial, dtype=torch.float64, device="cpu")).shape[2:])

    def matrix() -> SharedBlockMatrix:
        pixels = math.prod(spatial)
        rows, cols, values = [], [], []
        for start in range(0, pixels, _BASIS):
            count = min(_BASIS, pixels - start)
            basis = torch.zeros(count, pixels, dtype=torch.float64, device="cpu")
            basis.diagonal(start).fill_(1)
            image = apply(basis.reshape(count, 1, *spatial)).reshape(count, -1)
            at = image.nonzero()
            cols.append(at[:, 0].numpy() + start)
            rows.append(at[:, 1].numpy())
            values.append(image[at[:, 0], at[:, 1]].numpy())
        weights, ids = np.unique(np.concatenate(values), return_inverse=True)
        eye = torch.eye(in_shape[0], dtype=torch.float64, device="cpu")
        return SharedBlockMatrix.from_entries(
            torch.from_numpy(weights)[:, None, None] * eye,
            np.concatenate(rows),
            np.concatenate(cols),
            ids.reshape(-1).astype(np.int64),
            pixels_out=math.prod(out_spatial),
            pixels_in=pixels,
        )

    return LinearOperator(name.replace("_", " "), in_shape, (in_shape[0], *out_spatial), apply, matrix)


_RESAMPLINGS: dict[str, Callable[..., Tensor]] = {
    "avg_pool1d": F.avg_pool1d,
    "avg_pool2d": F.avg_pool2d,
    "avg_pool3d": F.avg_pool3d,
    "adaptive_avg_pool1d": F.adaptive_avg_pool1d,
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "adaptive_avg_pool3d": F.adaptive_avg_pool3d,
    "interpolate": F.interpolate,
}

_Builder = Callable[[str, Sequence[Any], dict[str, Any], Shape], LinearOperator | None]

_BUILDERS: dict[str, _Builder] = {
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "batch_norm": _batch_norm,
    "linear": _linear,
    "pad": _padding,
    "mul": _scaling,
    "multiply": _scaling,
    "div": _scaling,
    "true_divide": _scaling,
    "neg": _negation,
    "add": _translation,
    "sub": _translation,
    **dict.fromkeys(_RESAMPLINGS, _resampling),
}
