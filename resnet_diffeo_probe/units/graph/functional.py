"""Pure functions that a rebuilt graph calls where PyTorch only has an in-place spelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["batch_size", "copied", "fused_fake_quantized", "on_copy", "setitem", "write_through"]


def batch_size(x: Tensor, per_sample: int = 1, extra: int = 0) -> int:
    """Return an integer that the model computed from its batch size.

    Args:
        x: the tensor whose first dimension counts the samples.
        per_sample: how much the integer grows with each sample.
        extra: its value for an empty batch.

    Returns:
        `per_sample * x.size(0) + extra`.
    """
    return per_sample * x.size(0) + extra


def setitem(x: Tensor, index: Any, value: Tensor | float) -> Tensor:
    """Return a copy of `x` with `x[index] = value` done on the copy."""
    result = x.clone()
    result[index] = value
    return result


def copied(x: Tensor, source: Tensor) -> Tensor:
    """Return what `x.copy_(source)` leaves in `x`: `source` in the shape and dtype of `x`."""
    return source.to(x.dtype).expand_as(x)


def on_copy(x: Tensor, name: str, *args: Any, **kwargs: Any) -> Tensor:
    """Return what the in-place tensor method `name` would leave in `x`, without touching `x`."""
    result = x.clone()
    getattr(result, name)(*args, **kwargs)
    return result


def fused_fake_quantized(
    x: Tensor,
    observer_on: Tensor,
    fake_quant_on: Tensor,
    running_min: Tensor,
    running_max: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    *observer: Any,
) -> Tensor:
    """Return `torch.fused_moving_avg_obs_fake_quant`, of x in any precision and without writing to the observer.

    The observer works in float32, in which the step of the quantisation is the user's. `observer` are torch's further
    arguments in their order: averaging constant, least and greatest integer, axis, and whether by row and symmetric.
    """
    quant_min, quant_max, ch_axis = observer[1:4]
    step, zero = scale.detach().float().clone(), zero_point.detach().clone()
    if bool(observer_on.any()):
        torch.fused_moving_avg_obs_fake_quant(
            x.detach().float(), observer_on, fake_quant_on,
            running_min.detach().float().clone(), running_max.detach().float().clone(), step, zero,
            *observer,
        )  # fmt: skip
    if not bool(fake_quant_on.any()):
        return x
    if len(observer) > 4 and observer[4]:
        return torch.fake_quantize_per_channel_affine(x, step, zero, ch_axis, quant_min, quant_max)
    return torch.fake_quantize_per_tensor_affine(x, step, zero, quant_min, quant_max)


def write_through(
    base: Tensor, value: Tensor, view: str, path: Sequence[int], *args: Any, **kwargs: Any
) -> Tensor:
    """Return a copy of `base` in which one of its views holds `value`.

    Args:
        base: the tensor that owns the memory.
        value: what an in-place operation left in the view.
        view: the tensor method or attribute that made the view, e.g. `"chunk"` or `"T"`.
        path: where in its result the view sits, e.g. `(1,)` for the second chunk.
        *args: arguments of the method.
        **kwargs: keyword arguments of the method.

    Returns:
        A tensor like `base`.
    """
    result = torch.empty_like(base).copy_(base)
    window = getattr(result, view)
    if callable(window):
        window = window(*args, **kwargs)
    for step in path:
        window = window[step]
    window.copy_(value)
    return result
