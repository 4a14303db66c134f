"""Running a module so that a tape sees every operation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_diffeo_probe.units.graph.tape import Tape

__all__ = ["record"]


class _FunctionMode(TorchFunctionMode):
    """Shows the tape what Python code calls: high-level functions with named parameters."""

    def __init__(self, tape: Tape):
        super().__init__()
        self._tape = tape

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self._tape.run(func, tuple(args), dict(kwargs or {}))


class _DispatchMode(TorchDispatchMode):
    """Shows the tape what the dispatcher runs: the only view into TorchScript."""

    def __init__(self, tape: Tape):
        super().__init__()
        self._tape = tape
        self._alive: list[Any] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = self._tape.run(func, tuple(args), dict(kwargs or {}))
        # the interpreter holds tensors where Python does not see them: their Python halves must not be
        # recycled
        self._alive.append(result)
        return result


@contextmanager
def _module_stack(tape: Tape) -> Iterator[None]:
    # the hooks are those of every thread, and others may be measuring: their modules are none of this forward pass
    here = threading.get_ident()
    enter = register_module_forward_pre_hook(
        lambda module, _: tape.enter(module) if threading.get_ident() == here else None
    )
    leave = register_module_forward_hook(
        lambda *_: tape.leave() if threading.get_ident() == here else None, always_call=True
    )
    try:
        yield
    finally:
        enter.remove()
        leave.remove()


def record(model: nn.Module, example: Tensor, *, dispatched: bool = False) -> Tape:
    """Run a module once and return the tape of it.

    Args:
        model: in eval mode; the caller answers for its state (see `state.borrowed`).
        example: a batch.
        dispatched: listen at the dispatcher, not at the Python interface.

    Returns:
        The tape, finished.
    """
    example = example.detach()
    tape = Tape(model, example)
    mode: _DispatchMode | _FunctionMode = _DispatchMode(tape) if dispatched else _FunctionMode(tape)
    with _module_stack(tape):
        if dispatched:
            # fused kernels of the just-in-time compiler are opaque
            with torch.jit.optimized_execution(False), mode:  # type: ignore[attr-defined]
                output = model(example)
        else:
            with mode:
                output = model(example)
    tape.finish(output)
    return tape
