"""How much an estimate may cost, decided before it starts and without a clock, so that it can be repeated.

Products are counted in floating-point operations, bases in bytes. A clock only ends what the count did not foresee.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from resnet_diffeo_probe.jacobian.estimators.linear_map import LinearMap

__all__ = [
    "MAX_FLOPS",
    "MAX_SECONDS",
    "EstimateTooLongError",
    "EstimateWork",
    "affordable_effort",
    "bytes_of_bases",
    "flops_of",
    "limited",
]

#: Operations that one estimate may take: about half a minute of a core that does 15 gigaflops a second.
MAX_FLOPS = 5e11
#: When an estimate whose operations were not counted rightly is given up.
MAX_SECONDS = 600.0

_MOST_PROBES, _FEWEST_PROBES = 16, 4
# Numbers of steps that are tried, the most first: probes are given up last, steps before them.
_STEPS = (96, 64, 48, 32, 24, 16, 12, 8)


class EstimateTooLongError(RuntimeError):
    """An estimate took longer than it may; it becomes a finding with this reason."""


@dataclass(frozen=True)
class EstimateWork:
    """What one estimate is made of.

    Attributes:
        probes: random vectors.
        steps: of bidiagonalisation, at most.
    """

    probes: int
    steps: int


class _Counter(TorchDispatchMode):
    """Adds up what torch knows of convolutions and products; of this thread alone, and without hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += float(formula(*args, **(kwargs or {}), out_val=out))
        elif isinstance(out, Tensor):
            self.flops += out.numel()
        return out


def flops_of(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the floating-point operations of one evaluation: those that torch has a formula for, one an element else.

    Args:
        function: (1, *in_shape) -> (1, *out_shape).
        x: (1, *in_shape).
    """
    with _Counter() as counter, torch.no_grad():
        function(x)
    return counter.flops


def bytes_of_bases(rows: int, columns: int, *, max_bytes: float) -> float:
    """Return the memory that the bases of an estimate take at most.

    Args:
        rows: of the matrix.
        columns: likewise.
        max_bytes: that they may take.
    """
    return min(max_bytes, 8.0 * _MOST_PROBES * _STEPS[0] * (rows + columns))


def affordable_effort(
    J: LinearMap, evaluation_flops: float, *, max_bytes: float, max_flops: float = MAX_FLOPS
) -> EstimateWork | str:
    """Return how many probes and steps memory and operations allow, or the reason why there are too few.

    Args:
        J: the matrix.
        evaluation_flops: of the function whose derivative it is; a product takes about twice as many.
        max_bytes: memory for the bases.
        max_flops: operations for the whole estimate.
    """
    columns = min(J.rows, J.columns)
    fewest = min(_FEWEST_PROBES, columns)
    bytes_each, flops_each = 8 * (J.rows + J.columns), 0.0
    for steps in (min(steps, columns) for steps in _STEPS):
        # a step multiplies by J and by its transpose, and makes both vectors orthogonal to all before them, twice;
        # the second is bound by memory, and takes the time of four times its operations
        flops_each = 4 * evaluation_flops + 16 * steps * (J.rows + J.columns)
        probes = min(max_bytes / bytes_each, max_flops / flops_each) / steps
        if probes >= (fewest if steps in (columns, _STEPS[-1]) else _MOST_PROBES):
            return EstimateWork(int(min(probes, _MOST_PROBES)), steps)
    needed = bytes_each * fewest * min(_STEPS[-1], columns)
    if needed > max_bytes:
        return f"an estimate needs {needed / 2**30:.3g} GiB, {max_bytes / 2**30:.3g} GiB are allowed"
    flops = flops_each * fewest * min(_STEPS[-1], columns)
    return f"an estimate needs {flops:.2g} operations, {max_flops:.2g} are allowed"


def limited(
    J: LinearMap,
    *,
    seconds: float = MAX_SECONDS,
    evaluation_flops: float = 0.0,
    max_flops: float = MAX_FLOPS,
) -> LinearMap:
    """Return J with products that raise `EstimateTooLongError` once too much was done.

    Args:
        J: the matrix.
        seconds: from now on, for all products together.
        evaluation_flops: of the function whose derivative J is; a product with one vector counts twice as much.
        max_flops: operations for all products together.
    """
    end = time.monotonic() + seconds
    spent = 0.0

    def guarded(product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def apply(v: Tensor) -> Tensor:
            nonlocal spent
            if spent > max_flops:
                raise EstimateTooLongError(f"the estimate was given up after {spent:.2g} operations")
            if time.monotonic() > end:
                raise EstimateTooLongError(f"the estimate was given up after {seconds:.0f} s")
            spent += 2 * evaluation_flops * len(v)
            return product(v)

        return apply

    return replace(J, apply=guarded(J.apply), apply_transpose=guarded(J.apply_transpose))
