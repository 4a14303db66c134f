"""One spelling per operation: what a tape recorded -> the vocabulary of the produced graphs.

In the produced graphs an operation has one target, its tensor operands are positional, in-place variants and
`inplace` flags are gone, and the operations of `vocabulary.SIGNATURES` have *all* their arguments
positional, in that order, with defaults filled in and sizes as tuples of the operation's rank. What the
tables do not name keeps its recorded function.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from resnet_diffeo_probe.activations import family
from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.aten import from_operator
from resnet_diffeo_probe.units.graph.values import spelling
from resnet_diffeo_probe.units.graph.vocabulary import (
    IDENTITIES,
    ONLY_IN_PLACE,
    RANKS,
    REQUIRED,
    SIGNATURES,
    SIZES,
    TARGETS,
)

__all__ = ["Alias", "Spelled", "normalize"]


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
        shape: the shape of its first result, for calls that only rearrange (may hold fx nodes); -1 for one
            free dimension.

    Returns:
        The call in the graphs' vocabulary, or the argument that it hands through.
    """
    if isinstance(function, torch._ops.OpOverload):
        function, args, kwargs = from_operator(function, args, kwargs)
    name = spelling(function)
    bare = name[:-1] if writes and name.endswith("_") and not name.endswith("__") else name
    bare = bare[:-1] if bare.endswith("_") and family(bare) is not None else bare
    if bare in IDENTITIES and not kwargs.get("training", False) and not (len(args) > 2 and args[2] is True):
        return Alias(args[0])
    if special := _SPECIAL.get(bare):
        return special(args, kwargs, shape)
    kwargs = {key: item for key, item in kwargs.items() if key not in {"inplace", "_stacklevel"}}
    if kwargs.get("approximate") == "none":
        del kwargs["approximate"]
    target = _target(function, bare, writes=writes)
    if target is functional.on_copy:
        return Spelled(target, (args[0], name, *args[1:]), kwargs)
    if target in {torch.add, torch.sub, torch.mul}:
        return _binary(target, args, kwargs)
    if target in SIGNATURES:
        return _positional(target, args, kwargs)
    return Spelled(target, args, kwargs)


def _target(function: Callable[..., Any], bare: str, *, writes: bool) -> Callable[..., Any]:
    if bare in TARGETS:
        return TARGETS[bare]
    if writes and bare in ONLY_IN_PLACE:
        return functional.on_copy
    for module in (F, torch):  # F first: it holds the Python-level spellings with defaults
        candidate = getattr(module, bare, None)
        if candidate in SIGNATURES:
            return candidate
    if getattr(F, bare, None) is function:  # a Python-level function whose `inplace` flag is gone by now
        return function
    # only torch has namesakes that do the same (`F.unfold` is not `Tensor.unfold`); every Python object has
    # methods with underscores, modules too
    is_method = getattr(torch.Tensor, spelling(function), None) is function
    if (writes or is_method) and not bare.startswith("__"):
        for place in (torch, torch.Tensor):
            if callable(candidate := getattr(place, bare, None)):
                return candidate
    return functional.on_copy if writes else function


def _positional(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spelled:
    """Bind a call to its signature: everything positional, sizes as tuples."""
    signature = SIGNATURES[target]
    rest = dict(kwargs)
    bound = list(args[: len(signature)])
    for name, default in signature[len(bound) :]:
        value = rest.pop(name, default)
        if value is REQUIRED:
            return Spelled(target, args, kwargs)  # spelled in a way this table does not know: leave it
        bound.append(value)
    if any(args[len(signature) :]) or rest.pop("return_indices", False):
        return Spelled(target, args, kwargs)  # two results: another operation
    if target in RANKS:
        for position, (name, _) in enumerate(signature):
            if name in SIZES:
                bound[position] = _tuple(bound[position], RANKS[target])
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
    """Return `"same"` and `"valid"` as numbers, unless `"same"` needs an uneven border."""
    if padding == "valid":
        return (0,) * len(stride)
    kernel = weight.meta.get("shape") if isinstance(weight, fx.Node) else None
    if padding == "same" and kernel is not None:
        totals = [d * (k - 1) for d, k in zip(dilation, kernel[2:], strict=True)]
        if all(total % 2 == 0 for total in totals):
            return tuple(total // 2 for total in totals)
    return padding


def _binary(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spelled:
    rest = dict(kwargs)
    left, right = (*args, *(rest.pop(key) for key in ("input", "other") if key in rest))[:2]
    if len(args) == 3:  # the deprecated add(x, alpha, y)
        left, rest["alpha"], right = args
    if rest.get("alpha", 1) == 1:
        rest.pop("alpha", None)
    commutes = target is not torch.sub and not rest  # to the bit: data goes first, then tensors, then numbers
    if commutes and isinstance(right, fx.Node) and _rank(right) > _rank(left):
        left, right = right, left
    return Spelled(target, (left, right), rest)


def _rank(item: Any) -> int:
    if not isinstance(item, fx.Node):
        return 0
    return 2 if item.meta.get("data") else 1


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


def _where(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    """Tell `torch.where(condition, x, y)` from `x.where(condition, y)`."""
    first = args[0].meta["dtype"] if isinstance(args[0], fx.Node) else None
    if len(args) == 3 and first is not torch.bool:
        args = (args[1], args[0], args[2])
    return Spelled(torch.where, args, kwargs)


def _same(target: Callable[..., Any]) -> Callable[[_Arguments, _Keywords, Any], Spelled]:
    def spell(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
        return Spelled(target, args, kwargs)

    return spell


def _rms_norm(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    """Write out the epsilon that is that of the input's dtype where none is given: it is part of the function."""
    given = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False)) | kwargs
    eps, dtype = given.get("eps"), given["input"].meta["dtype"]
    if eps is None and dtype is not None:
        # half precisions are normalised in float32
        eps = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    weight = given.get("weight")
    return Spelled(F.rms_norm, (given["input"], tuple(given["normalized_shape"]), weight, eps), {})


def _addmm(args: _Arguments, kwargs: _Keywords, shape: Any) -> Spelled:
    """Spell b + x Wᵀ as the linear layer that it is, where W is a parameter."""
    bias, x, matrix = args[:3]
    is_transpose = isinstance(matrix, fx.Node) and matrix.target is torch.transpose
    if kwargs or len(args) > 3 or not is_transpose or _rank(matrix) == 2 or len(bias.meta["shape"]) != 1:
        return Spelled(torch.addmm, args, kwargs)
    return Spelled(F.linear, (x, matrix.args[0], bias), {})


_SPECIAL: dict[str, Callable[[_Arguments, _Keywords, Any], Spelled]] = {
    **dict.fromkeys(
        ["view", "reshape", "_unsafe_view", "unflatten", "view_as", "reshape_as", "squeeze", "unsqueeze"],
        _reshaped,
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
    "addmm": _addmm,
    "rms_norm": _rms_norm,
    "fused_moving_avg_obs_fake_quant": _same(functional.fused_fake_quantized),
    "where": _where,
    "float": _cast(torch.float32),
    "double": _cast(torch.float64),
    "half": _cast(torch.float16),
    "bfloat16": _cast(torch.bfloat16),
}
