"""A module -> a functional graph that was checked against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.units.graph.batch import TapesDifferError, free_batch_size
from resnet_diffeo_probe.units.graph.build import build
from resnet_diffeo_probe.units.graph.record import record
from resnet_diffeo_probe.units.graph.state import borrowed
from resnet_diffeo_probe.units.graph.tape import Tape
from resnet_diffeo_probe.units.graph.values import Value, map_structure, plain, tensors_in

__all__ = ["Rebuilt", "RecordingError", "agree", "rebuild", "unwrapped"]


class RecordingError(DiffeoProbeError):
    """A module whose forward pass cannot be written down as a graph."""

    code = "cannot-record"


@dataclass(frozen=True)
class Rebuilt:
    """A functional graph that does what a module does.

    Attributes:
        graph: one placeholder, the batch; shares memory with the module.
        batch_is_free: whether other batch sizes than the taped one may be given.
        exact: whether its output equalled the module's to the bit.
        notes: sentences on what the graph rests on.
        dispatched: whether it was taped at the dispatcher.
    """

    graph: fx.GraphModule
    batch_is_free: bool
    exact: bool
    notes: tuple[str, ...]
    dispatched: bool = False


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside `DataParallel`, `DistributedDataParallel` and `torch.compile` wrappers."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, parallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def agree(a: Any, b: Any, *, exactly: bool = False) -> bool:
    """Compare two structures of tensors: to the bit, or within a thousand roundings of the largest entry."""
    left, right = list(tensors_in(a)), list(tensors_in(b))
    return len(left) == len(right) and all(_close(x, y, exactly) for x, y in zip(left, right, strict=True))


def _close(x: Tensor, y: Tensor, exactly: bool) -> bool:
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.is_meta or y.is_meta:
        return True
    if not x.is_floating_point():
        return torch.equal(x, y)
    finite = torch.isfinite(x)
    # infinities and NaN must sit at the same places and be the same
    if not torch.equal(torch.where(finite, 0, x).nan_to_num(7.0), torch.where(finite, 0, y).nan_to_num(7.0)):
        return False
    x, y = x[finite], y[finite]
    if exactly or x.numel() == 0:
        return torch.equal(x, y)
    return bool(((x - y).abs() <= 1000 * torch.finfo(x.dtype).eps * x.abs().max()).all())


def rebuild(model: nn.Module, example: Tensor) -> Rebuilt:
    """Run a module under a tape and rebuild it as a graph in eval mode.

    The module is taped with the example and with one sample more, so that the batch size becomes free. The
    graph is then run on both batches and compared with the module. What Python code hides (TorchScript) is
    taped at the dispatcher.

    Args:
        model: any module that takes one batch; left as it was.
        example: (batch, ...), on the module's device.

    Returns:
        The graph and what is known of it.

    Raises:
        RecordingError: no graph agrees with the module.
    """
    scripted = isinstance(model, torch.jit.ScriptModule)
    attempts = [
        (dispatched, free) for dispatched in ([True] if scripted else [False, True]) for free in (True, False)
    ]
    reasons: list[str] = []
    for dispatched, free in attempts:
        try:
            return _attempt(model, example, dispatched=dispatched, free=free, earlier=reasons)
        except Exception as error:
            if not reasons:
                _require_runnable(model, example, error)
            reasons.append((str(error).strip() or type(error).__name__).splitlines()[0])
    raise RecordingError(
        f"The forward pass of {type(model).__name__} could not be written down as a graph.",
        why="; ".join(dict.fromkeys(reasons)),
        fix="Pass the plain nn.Module, not a compiled or scripted one; or report the model's name.",
    )


def _require_runnable(model: nn.Module, example: Tensor, error: Exception) -> None:
    """Tell a model that does not take this example from one that the tape cannot follow."""
    try:
        _run(model, model, example)
    except Exception as cause:
        raise RecordingError(
            f"{type(model).__name__} does not run on a batch of shape {tuple(example.shape)}.",
            why=f"{type(cause).__name__}: {cause}",
            fix="Give an example of the shape, dtype and device that the network was built for.",
        ) from error


def _attempt(
    model: nn.Module, example: Tensor, *, dispatched: bool, free: bool, earlier: list[str]
) -> Rebuilt:
    notes: list[str] = []
    # with one sample a transposed tensor may be contiguous: such accidents must not look like the batch's doing
    taped = torch.cat([example, example]) if free and example.shape[0] == 1 else example
    tape = _run(model, record, model, taped, dispatched=dispatched)
    cases: list[tuple[Tensor, Any]] = [(taped, tape.result)]
    if taped is not example:
        cases.append((example, plain(_run(model, model, example))))
    if free:
        longer_example = torch.cat([taped, taped[-1:]])
        longer = _run(model, record, model, longer_example, dispatched=dispatched)
        free_batch_size(tape, longer)
        cases.append((longer_example, longer.result))
    else:
        notes.append(f"the batch size is fixed at {example.shape[0]}: {earlier[-1]}")
    if tape.reads:
        places = ", ".join(sorted({name or "the network" for name in tape.reads}))
        notes.append(
            f"{places} turns numbers into Python values: the graph follows the path that the example took"
        )
    if dispatched:
        notes.append("taped at the dispatcher, because Python does not see the operations")
    graph = build(tape, model)
    if _has_strangers(tape) and not example.is_meta:
        # a constant that no operation made may hide a computation: it must serve another input as well
        other = example.roll(1, -1)
        cases.append((other, plain(_run(model, model, other))))
    exact = True
    for batch, expected in cases:
        result = _run(model, graph.forward, batch)  # calling the module would print a traceback of its own
        if not agree(expected, result):
            raise TapesDifferError("the rebuilt graph gives another output than the network")
        exact = exact and agree(expected, result, exactly=True)
    return Rebuilt(graph, free, exact, tuple(notes), dispatched)


def _run(model: nn.Module, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function with the model as it was given: what one run caches must not serve the next."""
    with borrowed(model):
        torch.manual_seed(0)
        return function(*args, **kwargs)


def _has_strangers(tape: Tape) -> bool:
    """Say whether the tape reads a tensor that is no parameter, no buffer and no result of an operation."""
    found: list[Value] = []

    def look(item: Any) -> Any:
        if isinstance(item, Value) and isinstance(item.leaf, Tensor):
            found.append(item)
        return item

    map_structure(look, [tape.output, *([call.args, call.kwargs] for call in tape.calls)])
    return bool(found)
