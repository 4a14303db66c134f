"""Operators of the dispatcher (exported programs, TorchScript) in the words of the Python interface."""

from __future__ import annotations

import operator as builtins
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from resnet_diffeo_probe.units.graph.values import spelling

__all__ = ["FIRST_RESULT_ONLY", "from_operator"]

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


# these return statistics beside the value; their translations return the value alone
FIRST_RESULT_ONLY = frozenset(
    [
        "native_batch_norm",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "_native_batch_norm_legit_no_training",
        "_batch_norm_no_update",
        "native_layer_norm",
        "native_group_norm",
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
    ]
)


def from_operator(operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
    """Translate an operator call.

    Args:
        operator: for instance `torch.ops.aten.conv2d.default`.
        args: its arguments.
        kwargs: its keyword arguments.

    Returns:
        (function, args, kwargs) of the same operation; the operator itself where there is no other word for
        it.
    """
    name = spelling(operator)
    if translate := _TRANSLATIONS.get(name.rstrip("_")):
        return translate(_named(operator, args, kwargs))
    if name.rstrip("_") == "elu":
        return _elu(operator, _named(operator, args, kwargs))
    for place in (F, torch, torch.Tensor):
        if callable(function := getattr(place, name, None)):
            return function, args, kwargs
    return operator, args, kwargs


def _named(operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    named = {}
    for position, argument in enumerate(operator._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        named[argument.name] = args[position] if position < len(args) else kwargs.get(argument.name, default)
    return named


def _convolution(given: dict[str, Any]) -> _Call:
    rank = len(given["stride"])
    operands = (given["input"], given["weight"], given["bias"])
    function: Callable[..., Any]
    sizes = ["stride", "padding", "dilation", "groups"]
    if given["transposed"]:
        function = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)[rank - 1]
        sizes = ["stride", "padding", "output_padding", "groups", "dilation"]
    else:
        function = (torch.conv1d, torch.conv2d, torch.conv3d)[rank - 1]
    return function, (*operands, *(given[size] for size in sizes)), {}


def _batch_norm(given: dict[str, Any]) -> _Call:
    training = bool(given.get("training", False))
    names = ("input", "running_mean", "running_var", "weight", "bias")
    eps = given.get("eps", given.get("epsilon"))
    return F.batch_norm, (*(given[name] for name in names), training, given["momentum"], eps), {}


def _layer_norm(given: dict[str, Any]) -> _Call:
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    return F.layer_norm, tuple(given[name] for name in names), {}


def _group_norm(given: dict[str, Any]) -> _Call:
    return F.group_norm, tuple(given[name] for name in ("input", "group", "weight", "bias", "eps")), {}


def _max_pool(function: Callable[..., Any]) -> Callable[[dict[str, Any]], _Call]:
    def translate(given: dict[str, Any]) -> _Call:
        names = ("self", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return function, tuple(given[name] for name in names), {}

    return translate


def _same_arguments(function: Callable[..., Any]) -> Callable[[dict[str, Any]], _Call]:
    def translate(given: dict[str, Any]) -> _Call:
        return function, tuple(given.values()), {}

    return translate


# what torch itself calls this operator with for a SELU
_SELU = (1.6732632423543772, 1.0507009873554805, 1)


def _elu(operator: torch._ops.OpOverload, given: dict[str, Any]) -> _Call:
    """Tell the three functions that are made of scale · α (exp(input_scale · z) − 1) below zero, scale · z above."""
    alpha, scale, input_scale = (given[name] for name in ("alpha", "scale", "input_scale"))
    if (alpha, scale, input_scale) == _SELU:
        return F.selu, (given["self"],), {}
    if (scale, input_scale) == (1, 1):
        return F.elu, (given["self"], alpha), {}
    if scale == 1 and alpha and input_scale == 1 / alpha:
        return F.celu, (given["self"], alpha), {}
    return operator, (given["self"], alpha, scale, input_scale), {}


def _slice(given: dict[str, Any]) -> _Call:
    end = None if given["end"] == sys.maxsize else given["end"]
    index = (*(slice(None),) * given["dim"], slice(given["start"], end, given["step"]))
    return builtins.getitem, (given["self"], index), {}


def _constant_pad(given: dict[str, Any]) -> _Call:
    return F.pad, (given["self"], given["pad"], "constant", given["value"]), {}


def _to_copy(given: dict[str, Any]) -> _Call:
    wanted = {key: given[key] for key in ("dtype", "device") if given[key] is not None}
    return torch.Tensor.to, (given["self"],), wanted


def _softmax(given: dict[str, Any]) -> _Call:
    return torch.softmax, (given["self"], given["dim"]), {}


_TRANSLATIONS: dict[str, Callable[[dict[str, Any]], _Call]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "max_pool2d_with_indices": _max_pool(F.max_pool2d),
    "max_pool3d_with_indices": _max_pool(F.max_pool3d),
    "_softmax": _softmax,
    "slice": _slice,
    "constant_pad_nd": _constant_pad,
    "_to_copy": _to_copy,
    "unfold": _same_arguments(torch.Tensor.unfold),
    "_adaptive_avg_pool2d": _same_arguments(F.adaptive_avg_pool2d),
    "_adaptive_avg_pool3d": _same_arguments(F.adaptive_avg_pool3d),
    "_unsafe_view": _same_arguments(torch.reshape),
}
