"""The vocabulary of the produced graphs, as tables: targets, their arguments, recorded names for them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from resnet_diffeo_probe.activations import FAMILIES, REQUIRED
from resnet_diffeo_probe.units.graph import functional

__all__ = ["IDENTITIES", "ONLY_IN_PLACE", "RANKS", "REQUIRED", "SIGNATURES", "SIZES", "TARGETS"]

_CONV = (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
_CONV_T = (("stride", 1), ("padding", 0), ("output_padding", 0), ("groups", 1), ("dilation", 1))
_MAX_POOL = (
    ("kernel_size", REQUIRED),
    ("stride", None),
    ("padding", 0),
    ("dilation", 1),
    ("ceil_mode", False),
)
_AVG_POOL = (
    ("kernel_size", REQUIRED),
    ("stride", None),
    ("padding", 0),
    ("ceil_mode", False),
    ("count_include_pad", True),
)

# target -> (parameter, default) after the tensor operands that every call must give
SIGNATURES: dict[Callable[..., Any], tuple[tuple[str, Any], ...]] = {
    **dict.fromkeys(
        (torch.conv1d, torch.conv2d, torch.conv3d),
        (("input", REQUIRED), ("weight", REQUIRED), ("bias", None), *_CONV),
    ),
    **dict.fromkeys(
        (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
        (("input", REQUIRED), ("weight", REQUIRED), ("bias", None), *_CONV_T),
    ),
    F.linear: (("input", REQUIRED), ("weight", REQUIRED), ("bias", None)),
    F.batch_norm: (
        ("input", REQUIRED),
        ("running_mean", REQUIRED),
        ("running_var", REQUIRED),
        ("weight", None),
        ("bias", None),
        ("training", False),
        ("momentum", 0.1),
        ("eps", 1e-5),
    ),
    F.layer_norm: (
        ("input", REQUIRED),
        ("normalized_shape", REQUIRED),
        ("weight", None),
        ("bias", None),
        ("eps", 1e-5),
    ),
    F.group_norm: (
        ("input", REQUIRED),
        ("num_groups", REQUIRED),
        ("weight", None),
        ("bias", None),
        ("eps", 1e-5),
    ),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, F.max_pool3d), (("input", REQUIRED), *_MAX_POOL)),
    F.avg_pool1d: (("input", REQUIRED), *_AVG_POOL),
    F.avg_pool2d: (("input", REQUIRED), *_AVG_POOL, ("divisor_override", None)),
    F.avg_pool3d: (("input", REQUIRED), *_AVG_POOL, ("divisor_override", None)),
    **dict.fromkeys(
        (
            F.adaptive_avg_pool1d,
            F.adaptive_avg_pool2d,
            F.adaptive_avg_pool3d,
            F.adaptive_max_pool1d,
            F.adaptive_max_pool2d,
            F.adaptive_max_pool3d,
        ),
        (("input", REQUIRED), ("output_size", REQUIRED)),
    ),
    F.pad: (("input", REQUIRED), ("pad", REQUIRED), ("mode", "constant"), ("value", None)),
    torch.flatten: (("input", REQUIRED), ("start_dim", 0), ("end_dim", -1)),
    torch.softmax: (("input", REQUIRED), ("dim", REQUIRED), ("dtype", None)),
    torch.clamp: (("input", REQUIRED), ("min", None), ("max", None)),
    torch.cat: (("tensors", REQUIRED), ("dim", 0)),
    torch.stack: (("tensors", REQUIRED), ("dim", 0)),
    **{
        function: (("input", REQUIRED), *((p.name, p.default) for p in each.parameters))
        for each in FAMILIES
        if (function := getattr(F, each.name, None)) and not any(p.keyword for p in each.parameters)
    },
}

RANKS = {
    function: rank
    for rank in (1, 2, 3)
    for family in ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
    if (function := getattr(F, f"{family}{rank}d")) in SIGNATURES
}
SIZES = frozenset(["stride", "padding", "dilation", "output_padding", "kernel_size", "output_size"])

# bare spelling (in-place underscore removed) -> the one target
TARGETS: dict[str, Callable[..., Any]] = {
    "conv1d": torch.conv1d,
    "conv2d": torch.conv2d,
    "conv3d": torch.conv3d,
    "max_pool1d_with_indices": F.max_pool1d,
    "max_pool2d_with_indices": F.max_pool2d,
    "max_pool3d_with_indices": F.max_pool3d,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": torch.softmax,
    "concat": torch.cat,
    "concatenate": torch.cat,
    "clip": torch.clamp,
    "multiply": torch.mul,
    "subtract": torch.sub,
    "divide": torch.div,
    "true_divide": torch.div,
    "negative": torch.neg,
    "swapaxes": torch.transpose,
    "swapdims": torch.transpose,
    "__add__": torch.add,
    "__radd__": torch.add,
    "__iadd__": torch.add,
    "__sub__": torch.sub,
    "__isub__": torch.sub,
    "__mul__": torch.mul,
    "__rmul__": torch.mul,
    "__imul__": torch.mul,
    "__truediv__": torch.div,
    "__div__": torch.div,
    "__itruediv__": torch.div,
    "__idiv__": torch.div,
    "__neg__": torch.neg,
    "__pow__": torch.pow,
    "__ipow__": torch.pow,
    "__matmul__": torch.matmul,
    "__abs__": torch.abs,
    "__eq__": torch.eq,
    "__ne__": torch.ne,
    "__lt__": torch.lt,
    "__le__": torch.le,
    "__gt__": torch.gt,
    "__ge__": torch.ge,
    "__and__": torch.bitwise_and,
    "__or__": torch.bitwise_or,
    "__xor__": torch.bitwise_xor,
    "__invert__": torch.bitwise_not,
    "__iand__": torch.bitwise_and,
    "__ior__": torch.bitwise_or,
    "__floordiv__": torch.floor_divide,
    "__mod__": torch.remainder,
    "__getitem__": operator.getitem,
    "__setitem__": functional.setitem,
    "copy": functional.copied,
    "fill": torch.fill,
    "zero": torch.zeros_like,
}
# operations that leave an eval-mode value alone
IDENTITIES = frozenset(
    [
        "alpha_dropout",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "feature_alpha_dropout",
        "feature_dropout",
        "native_dropout",
        "detach",
        "data",
        "alias",
        "requires_grad",
        "clone",
        "lift_fresh",
        "positive",
        "__pos__",
        "identity",
    ]
)
# random fillings and the like have no functional twin
ONLY_IN_PLACE = frozenset(
    [
        "uniform",
        "normal",
        "bernoulli",
        "random",
        "exponential",
        "geometric",
        "cauchy",
        "log_normal",
        "put",
        "index_put",
        "map2",
        "map",
        "apply",
    ]
)
