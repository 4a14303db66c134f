"""Making the batch size of a tape free: what changes with one more sample depends on the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.units.graph.tape import Tape
from resnet_diffeo_probe.units.graph.values import Call, Value

__all__ = ["BatchInt", "TapesDifferError", "free_batch_size"]


@dataclass(frozen=True)
class BatchInt:
    """An integer `per_sample * B + extra` of the batch size B; `taped` is its value on the tape."""

    per_sample: int
    extra: int
    taped: int


class TapesDifferError(Exception):
    """Two tapes of the same model do not differ by integers alone; the message says where."""


def free_batch_size(tape: Tape, longer: Tape) -> None:
    """Replace the integers that count samples by :class:`BatchInt`, and note shapes that grow.

    Args:
        tape: the tape of B samples; changed.
        longer: the tape of B + 1 samples.

    Raises:
        TapesDifferError: the model ran other operations on the other batch, or used numbers that depend on
            it in a way that is not affine.
    """
    if len(tape.calls) != len(longer.calls):
        raise TapesDifferError(
            f"{len(tape.calls)} operations became {len(longer.calls)} with one more sample"
        )
    batch = tape.input.shape[0]
    same = {id(tape.input): longer.input}
    tape.input.next_shape = longer.input.shape
    for call, other in zip(tape.calls, longer.calls, strict=True):
        if call.function != other.function or call.writes != other.writes:
            raise TapesDifferError(f"{call.function} became {other.function} with one more sample")
        args = _unified(call.args, other.args, batch, same)
        kwargs = _unified(call.kwargs, other.kwargs, batch, same)
        _pair_results(call, other, same)
        call.args, call.kwargs = args, kwargs
    tape.output = _unified(tape.output, longer.output, batch, same)


def _pair_results(call: Call, other: Call, same: dict[int, Value]) -> None:
    if [path for path, _ in call.results] != [path for path, _ in other.results]:
        raise TapesDifferError(f"{call.function} returned other tensors with one more sample")
    for (_, value), (_, longer) in zip(call.results, other.results, strict=True):
        if len(value.shape) != len(longer.shape):
            raise TapesDifferError(f"{call.function} returned another rank with one more sample")
        same[id(value)] = longer
        value.next_shape = longer.shape


def _unified(a: Any, b: Any, batch: int, same: dict[int, Value]) -> Any:
    if isinstance(a, Value):
        _match(a, b, same)
        return a
    if isinstance(a, (tuple, list)):
        if not isinstance(b, (tuple, list)) or len(a) != len(b):
            raise TapesDifferError(f"{a!r} became {b!r} with one more sample")
        items = [_unified(x, y, batch, same) for x, y in zip(a, b, strict=True)]
        return items if isinstance(a, list) else tuple(items)
    if isinstance(a, dict):
        if not isinstance(b, dict) or list(a) != list(b):
            raise TapesDifferError("keyword arguments changed with one more sample")
        return {key: _unified(a[key], b[key], batch, same) for key in a}
    if isinstance(a, slice) and isinstance(b, slice):
        parts = (_unified(getattr(a, k), getattr(b, k), batch, same) for k in ("start", "stop", "step"))
        return slice(*parts)
    if type(a) is int and type(b) is int and a != b:
        return BatchInt(b - a, a - (b - a) * batch, a)
    if a is not b and (type(a) is not type(b) or a != b) and not (a != a and b != b):  # noqa: PLR0124 - NaN
        raise TapesDifferError(f"{a!r} became {b!r} with one more sample")
    return a


def _match(a: Value, b: Any, same: dict[int, Value]) -> None:
    if not isinstance(b, Value):
        raise TapesDifferError("a tensor became a number with one more sample")
    known = same.get(id(a))
    if known is None and a.leaf is not None and b.leaf is not None:
        known = same[id(a)] = b
        a.next_shape = b.shape
        if isinstance(a.leaf, Tensor) != isinstance(b.leaf, Tensor) or a.shape != b.shape:
            raise TapesDifferError("a tensor that no recorded operation made depends on the batch")
        if isinstance(a.leaf, Tensor) and isinstance(b.leaf, Tensor) and not _equal(a.leaf, b.leaf):
            raise TapesDifferError("a tensor that no recorded operation made depends on the batch")
        if isinstance(a.leaf, str) and a.leaf != b.leaf:
            raise TapesDifferError(f"{a.leaf} was read where {b.leaf} is read with one more sample")
    if known is not b:
        raise TapesDifferError("operations were wired differently with one more sample")


def _equal(a: Tensor, b: Tensor) -> bool:
    return a is b or a.is_meta or torch.equal(a, b)
