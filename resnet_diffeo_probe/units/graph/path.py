"""Whether two forward passes of one module, at two inputs of one shape, called the same operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.units.graph.tape import Tape
from resnet_diffeo_probe.units.graph.values import Value

__all__ = ["same_path"]


def same_path(tape: Tape, other: Tape) -> bool:
    """Say whether two tapes hold the same calls, wired alike, with the same numbers that Python gave them.

    Tensors that no recorded operation made must be equal too: such a tensor may hold what was computed out of sight.

    Args:
        tape: of one input.
        other: of another one, of the same shape and dtype.
    """
    if len(tape.calls) != len(other.calls):
        return False
    partner: dict[int, Value] = {id(tape.input): other.input}

    def alike(a: Any, b: Any) -> bool:
        if isinstance(a, Value):
            return isinstance(b, Value) and _paired(a, b, partner)
        if isinstance(a, (tuple, list)):
            return (
                isinstance(b, (tuple, list))
                and len(a) == len(b)
                and all(alike(x, y) for x, y in zip(a, b, strict=True))
            )
        if isinstance(a, dict):
            return isinstance(b, dict) and list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
        if isinstance(a, slice):
            return isinstance(b, slice) and alike((a.start, a.stop, a.step), (b.start, b.stop, b.step))
        return a is b or (type(a) is type(b) and repr(a) == repr(b))

    for call, later in zip(tape.calls, other.calls, strict=True):
        if call.function != later.function or call.writes != later.writes:
            return False
        if not alike(call.args, later.args) or not alike(call.kwargs, later.kwargs):
            return False
        if [path for path, _ in call.results] != [path for path, _ in later.results]:
            return False
        partner |= {id(a): b for (_, a), (_, b) in zip(call.results, later.results, strict=True)}
    return True


def _paired(a: Value, b: Value, partner: dict[int, Value]) -> bool:
    known = partner.get(id(a))
    if known is not None:
        return known is b
    partner[id(a)] = b
    if isinstance(a.leaf, Tensor) and isinstance(b.leaf, Tensor):
        return a.leaf is b.leaf or _equal(a.leaf, b.leaf)
    return isinstance(a.leaf, str) and a.leaf == b.leaf


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.is_meta or torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
