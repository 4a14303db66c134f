"""One spelling per operation: what a tape recorded -> the vocabulary of the produced graphs.

In the produced graphs an operation has one target, its tensor operands are positional, in-place variants and
`inplace` flags are gone, and the operations of `SIGNATURES` have *all* their arguments positional, in that order, with
defaults filled in and sizes as tuples of the operation's rank. What the tables do not name keeps its recorded function.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from resnet_diffeo_probe.units import functional
from resnet_diffeo_probe.units.aten import from_operator
from resnet_diffeo_probe.units.tape import spelling

__all__ = ["SIGNATURES", "Alias", "Spelled", "normalize"]

_REQUIRED = object()
_CONV = (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
_CONV_T = (("stride", 1), ("padding", 0), ("output_padding", 0), ("groups", 1), ("dilation", 1))
_MAX_POOL = (
    ("kernel_size", _REQUIRED),
    ("stride", None),
    ("padding", 0),
    ("dilation", 1),
    ("ceil_mode", False),
)
_AVG_POOL = (
    ("kernel_size", _REQUIRED),
    ("stride", None),
    ("padding", 0),
    ("ceil_mode", False),
    ("count_include_pad", True),
)

# target -> (parameter, default) after the tensor operands that every call must give
SIGNATURES: dict[Callable[..., Any], tuple[tuple[str, Any], ...]] = {
    **{
        conv: (("input", _REQUIRED), ("weight", _REQUIRED), ("bias", None), *_CONV)
        for conv in (torch.conv1d, torch.conv2d, torch.conv3d)
    },
    **{
        conv: (("input", _REQUIRED), ("weight", _REQUIRED), ("bias", None), *_CONV_T)
        for conv in (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
    },
    F.linear: (("input", _REQUIRED), ("weight", _REQUIRED), ("bias", None)),
    F.batch_norm: (
        ("input", _REQUIRED),
        ("running_mean", _REQUIRED),
        ("running_var", _REQUIRED),
        ("weight", None),
        ("bias", None),
        ("training", False),
        ("momentum", 0.1),
        ("eps", 1e-5),
    ),
    F.layer_norm: (
        ("input", _REQUIRED),
        ("normalized_shape", _REQUIRED),
        ("weight", None),
        ("bias", None),
        ("eps", 1e-5),
    ),
    F.group_norm: (
        ("input", _REQUIRED),
        ("num_groups", _REQUIRED),
        ("weight", None),
        ("bias", None),
        ("eps", 1e-5),
    ),
    **{pool: (("input", _REQUIRED), *_MAX_POOL) for pool in (F.max_pool1d, F.max_pool2d, F.max_pool3d)},
    F.avg_pool1d: (("input", _REQUIRED), *_AVG_POOL),
    F.avg_pool2d: (("input", _REQUIRED), *_AVG_POOL, ("divisor_override", None)),
    F.avg_pool3d: (("input", _REQUIRED), *_AVG_POOL, ("divisor_override", None)),
    **{
        pool: (("input", _REQUIRED), ("output_size", _REQUIRED))
        for pool in (
            F.adaptive_avg_pool1d,
            F.adaptive_avg_pool2d,
            F.adaptive_avg_pool3d,
            F.adaptive_max_pool1d,
            F.adaptive_max_pool2d,
            F.adaptive_max_pool3d,
        )
    },
    F.pad: (("input", _REQUIRED), ("pad", _REQUIRED), ("mode", "constant"), ("value", None)),
    torch.flatten: (("input", _REQUIRED), ("start_dim", 0), ("end_dim", -1)),
    torch.softmax: (("input", _REQUIRED), ("dim", _REQUIRED), ("dtype", None)),
    torch.clamp: (("input", _REQUIRED), ("min", None), ("max", None)),
    torch.cat: (("tensors", _REQUIRED), ("dim", 0)),
    torch.stack: (("tensors", _REQUIRED), ("dim", 0)),
    F.relu: (("input", _REQUIRED),),
    F.relu6: (("input", _REQUIRED),),
    F.silu: (("input", _REQUIRED),),
    F.mish: (("input", _REQUIRED),),
    F.hardswish: (("input", _REQUIRED),),
    F.hardsigmoid: (("input", _REQUIRED),),
    F.selu: (("input", _REQUIRED),),
    F.elu: (("input", _REQUIRED), ("alpha", 1.0)),
    F.celu: (("input", _REQUIRED), ("alpha", 1.0)),
    F.leaky_relu: (("input", _REQUIRED), ("negative_slope", 0.01)),
    F.hardtanh: (("input", _REQUIRED), ("min_val", -1.0), ("max_val", 1.0)),
    F.threshold: (("input", _REQUIRED), ("threshold", _REQUIRED), ("value", _REQUIRED)),
    F.softplus: (("input", _REQUIRED), ("beta", 1.0), ("threshold", 20.0)),
    F.gelu: (("input", _REQUIRED), ("approximate", "none")),
}

_RANKS = {
    function: rank
    for rank in (1, 2, 3)
    for family in ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
    if (function := getattr(F, f"{family}{rank}d")) in SIGNATURES
}
_SIZES = frozenset("stride padding dilation output_padding kernel_size output_size".split())

# bare spelling (in-place underscore removed) -> the one target
_TARGETS: dict[str, Callable[..., Any]] = {
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
    "__getitem__": operator.getitem,
    "__setitem__": functional.setitem,
    "copy": functional.copied,
    "fill": torch.fill,
    "zero": torch.zeros_like,
}
# operations that leave an eval-mode value alone
_IDENTITIES = frozenset(
    "alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout native_dropout "
    "detach data alias requires_grad clone lift_fresh positive __pos__ identity".split()
)
# random fillings and the like have no functional twin
_ONLY_IN_PLACE = frozenset(
    "uniform normal bernoulli random exponential geometric cauchy log_normal put index_put map2 map apply".split()
)


@dataclass(frozen=True)
class Spelled:
    """A call in the vocabulary of the produced graphs."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Alias:
    """A call whose result is one of its arguments."""

    value: Any


def normalize(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, writes: bool, shape: Any
) -> Spelled | Alias:
    """Spell a recorded call the one way.

    Args:
        function: what was called.
        args: its arguments, tensors as fx nodes.
        kwargs: its keyword arguments.
        writes: whether the call is in place.
        shape: the shape of its first result, for calls that only rearrange (may hold fx nodes); -1 for one free
            dimension.

    Returns:
        The call in the graphs' vocabulary, or the argument that it hands through.
    """
    if isinstance(function, torch._ops.OpOverload):
        function, args, kwargs = from_operator(function, args, kwargs)
    name = spelling(function)
    bare = name[:-1] if writes and name.endswith("_") and not name.endswith("__") else name
    bare = bare[:-1] if bare in {"relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_"} else bare
    if bare in _IDENTITIES and not kwargs.get("training", False) and not (len(args) > 2 and args[2] is True):
        return Alias(args[0])
    if special := _SPECIAL.get(bare):
        return special(args, kwargs, shape)
    kwargs = {key: item for key, item in kwargs.items() if key not in {"inplace", "_stacklevel"}}
    target = _target(function, bare, writes=writes)
    if target is functional.on_copy:
        return Spelled(target, (args[0], name, *args[1:]), kwargs)
    if target in {torch.add, torch.sub}:
        return _sum(target, args, kwargs)
    if target in SIGNATURES:
        return _positional(target, args, kwargs)
    return Spelled(target, args, kwargs)


def _target(function: Callable[..., Any], bare: str, *, writes: bool) -> Callable[..., Any]:
    if bare in _TARGETS:
        return _TARGETS[bare]
    if writes and bare in _ONLY_IN_PLACE:
        return functional.on_copy
    for module in (F, torch):  # F first: it holds the Python-level spellings with defaults
        candidate = getattr(module, bare, None)
        if candidate in SIGNATURES:
            return candidate  # type: ignore[no-any-return]
    is_method = getattr(torch.Tensor, spelling(function), None) is function
    if writes or is_method:
        for module in (torch, F):
            if callable(candidate := getattr(module, bare, None)):
                return candidate  # type: ignore[no-any-return]
        if writes:
            return functional.on_copy
    return function


def _positional(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spelled:
    """Bind a call to its signature: everything positional, sizes as tuples."""
    signature = SIGNATURES[target]
    rest = dict(kwargs)
    bound = list(args[: len(signature)])
    for name, default in signature[len(bound) :]:
        value = rest.pop(name, default)
        if value is _REQUIRED:
            return Spelled(target, args, kwargs)  # spelled in a way this table does not know: leave it
        bound.append(value)
    if any(args[len(signature) :]) or rest.pop("return_indices", False):
        return Spelled(target, args, kwargs)  # two results: another operation
    if target in _RANKS:
        for position, (name, _) in enumerate(signature):
            if name in _SIZES:
                bound[position] = _tuple(bound[position], _RANKS[target])
        names = [name for name, _ in signature]
        if "kernel_size" in names and not bound[names.index("stride")]:
            bound[names.index("stride")] = bound[names.index("kernel_size")]
        if target in {torch.conv1d, torch.conv2d, torch.conv3d}:
            bound[4] = _explicit_padding(bound[1], bound[4], bound[5], bound[3])
    if target is F.batch_norm and bound[5]:
        bound[1] = bound[2] = None  # batch statistics: the running ones would be written to, not read
    if target in {F.layer_norm, F.pad}:
        bound[1] = tuple(bound[1])
    return Spelled(target, tuple(bound), rest)


def _tuple(value: Any, rank: int) -> Any:
    if isinstance(value, int):
        return (value,) * rank
    if isinstance(value, (tuple, list)):
        return tuple(value) * rank if len(value) == 1 else tuple(value)
    return value


def _explicit_padding(weight: Any, padding: Any, dilation: Any, stride: Any) -> Any:
    """Return `"same"` and `"valid"` as numbers, where a number says it (`"same"` may need an uneven border)."""
    if padding == "valid":
        return (0,) * len(stride)
    kernel = weight.meta.get("shape") if isinstance(weight, fx.Node) else None
    if padding == "same" and kernel is not None:
        totals = [d * (k - 1) for d, k in zip(dilation, kernel[2:], strict=True)]
        if all(total % 2 == 0 for total in totals):
            return tuple(total // 2 for total in totals)
    return padding


def _sum(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spelled:
    rest = dict(kwargs)
    left, right = (*args, *(rest.pop(key) for key in ("input", "other") if key in rest))[:2]
    if len(args) == 3:  # the deprecated add(x, alpha, y)
        left, rest["alpha"], right = args
    if rest.get("alpha", 1) == 1:
        rest.pop("alpha", None)
    if not isinstance(left, fx.Node):  # 0 + x: a tensor goes first
        left, right = right, left
    return Spelled(target, (left, right), rest)


_Arguments = tuple[Any, ...]
_Keywords = dict[str, Any]


def _reshaped(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    if kwargs.get("dtype") or (len(args) > 1 and isinstance(args[1], torch.dtype)):
        return Spelled(torch.Tensor.view, args, kwargs)
    return Spelled(torch.reshape, (args[0], shape), {})


def _variadic(target: Callable[..., Any]) -> Callable[[_Arguments, _Keywords, Any], Spelled]:
    """Accept `x.permute(0, 2, 1)` and `x.permute((0, 2, 1))`."""

    def spell(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
        tensor, *rest = args
        rest += [kwargs[key] for key in ("dims", "size", "sizes", "repeats") if key in kwargs]
        sizes = rest[0] if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else rest
        return Spelled(target, (tensor, tuple(sizes)), {})

    return spell


def _expand(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    spelled = _variadic(torch.Tensor.expand)(args, kwargs, shape)
    return Spelled(torch.Tensor.expand, (spelled.args[0], *spelled.args[1]), {})


def _reduced(target: Callable[..., Any]) -> Callable[[_Arguments, _Keywords, Any], Spelled]:
    def spell(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
        rest = dict(kwargs)
        dim = args[1] if len(args) > 1 else rest.pop("dim", rest.pop("axis", None))
        keepdim = args[2] if len(args) > 2 else rest.pop("keepdim", False)
        if dim is None:
            return Spelled(target, (args[0],), rest)
        return Spelled(target, (args[0], (dim,) if isinstance(dim, int) else tuple(dim), bool(keepdim)), rest)

    return spell


def _reversed(target: Callable[..., Any]) -> Callable[[_Arguments, _Keywords, Any], Spelled]:
    def spell(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
        tensor, other = args[:2]
        return Spelled(target, (other, tensor), kwargs)

    return spell


def _rsub(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    tensor, other = args[:2]
    if isinstance(other, fx.Node):
        return Spelled(torch.sub, (other, tensor), kwargs)
    return Spelled(torch.rsub, (tensor, other), kwargs)


def _matrix_transpose(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    return Spelled(torch.transpose, (args[0], -2, -1), {})


def _transpose_all(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    return Spelled(torch.permute, (args[0], tuple(reversed(range(len(shape))))), {})


def _cast(dtype: torch.dtype) -> Callable[[_Arguments, _Keywords, Any], Spelled]:
    def spell(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
        return Spelled(torch.Tensor.to, (args[0], dtype), {})

    return spell


_SPECIAL: dict[str, Callable[[_Arguments, _Keywords, Any], Spelled]] = {
    **dict.fromkeys(
        "view reshape _unsafe_view unflatten view_as reshape_as squeeze unsqueeze".split(), _reshaped
    ),
    "permute": _variadic(torch.permute),
    "flip": _variadic(torch.flip),
    "repeat": _variadic(torch.Tensor.repeat),
    "expand": _expand,
    "mean": _reduced(torch.mean),
    "sum": _reduced(torch.sum),
    "__rsub__": _rsub,
    "rsub": _rsub,
    "__rtruediv__": _reversed(operator.truediv),
    "__rpow__": _reversed(operator.pow),
    "__rmatmul__": _reversed(torch.matmul),
    "mT": _matrix_transpose,
    "T": _transpose_all,
    "t": _matrix_transpose,
    "float": _cast(torch.float32),
    "double": _cast(torch.float64),
    "half": _cast(torch.float16),
    "bfloat16": _cast(torch.bfloat16),
}
