"""What an analysis begins with: a model and inputs in whatever form they come, the units, and the predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from resnet_diffeo_probe.models import LoadedModel
from resnet_diffeo_probe.units import Discovery, discover

__all__ = ["as_inputs", "as_loaded", "first_look"]

# Logits of this many inputs are computed at a time.
_FORWARD_BATCH = 32


def first_look(loaded: LoadedModel, batch: Inputs) -> tuple[Tensor | None, Discovery]:
    """Return the logits of the user's own module in its own arithmetic, and its units."""
    discovery = discover(loaded.module, batch.part(0, 1))
    if batch.labels is None or loaded.num_classes is None:
        return None, discovery
    # one by one where the graph was exported for a batch of one
    size = _FORWARD_BATCH if discovery.batch_is_free else 1
    parts: list[Tensor] = []
    with _evaluating(loaded.module), torch.no_grad():
        for start in range(0, len(batch), size):
            output = loaded.module(batch.part(start, min(start + size, len(batch))))
            logits = getattr(output, "logits", output)
            if not isinstance(logits, Tensor) or tuple(logits.shape[1:]) != (loaded.num_classes,):
                return None, discovery
            parts.append(logits)
    return torch.cat(parts), discovery


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch every part to evaluation; afterwards each is in the mode that it was in, which may differ by part."""
    # `eval()` is refused by exported programs, which have one mode only
    modes = {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = False
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def as_loaded(module: nn.Module) -> LoadedModel:
    """Return a module in memory as what loading a file gives."""
    return LoadedModel(
        module=module,
        path=Path(type(module).__name__),
        sha256="",
        format="module in memory",
        architecture=type(module).__name__,
        architecture_assumed=False,
        notes=(),
        num_classes=None,
        input_shape=None,
        parameters=sum(p.numel() for p in module.parameters()),
    )


def as_inputs(tensor: Tensor) -> Inputs:
    """Return a tensor (N, *shape) as a batch with names.

    Raises:
        InputsError: it is no batch.
    """
    if tensor.dim() < 2 or 0 in tensor.shape:
        raise InputsError(
            f"inputs of shape {list(tensor.shape)} are no batch",
            why="a batch is (N, *shape) with at least one input",
            fix="x[None] for a single input",
            code="inputs-shape",
        )
    return Inputs(
        rows=TensorRows(tensor.detach()),
        names=tuple(f"input[{i}]" for i in range(tensor.shape[0])),
        labels=None,
        classes=None,
        skipped=(),
        kind="tensor",
        source="tensor in memory",
        preprocessing=Preprocessing.from_preset("none"),
        seed=0,
    )
