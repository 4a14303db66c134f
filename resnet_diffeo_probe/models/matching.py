"""Putting a state dict into a module, and saying exactly what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import LoadError

__all__ = ["Mismatch", "compare", "fill"]

_SHOWN = 5


class Mismatch:
    """How a state dict differs from what a module expects.

    Attributes:
        missing: names that the module has and the weights have not.
        unexpected: names that the weights have and the module has not.
        wrong_shape: (name, shape in the weights, shape in the module).
    """

    def __init__(self, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]):
        # batch norm's step counter was added in PyTorch 0.4.1 and changes nothing in evaluation mode
        self.missing = [n for n in expected if n not in tensors and not n.endswith("num_batches_tracked")]
        self.unexpected = [n for n in tensors if n not in expected and not n.endswith("num_batches_tracked")]
        self.wrong_shape = [
            (n, tuple(tensors[n].shape), tuple(t.shape))
            for n, t in expected.items()
            if n in tensors and tensors[n].shape != t.shape
        ]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.wrong_shape)

    def __str__(self) -> str:
        parts = []
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                parts.append(f"{len(names)} {title}: {_first(names)}")
        if self.wrong_shape:
            shapes = [f"{n} is {list(a)} in the file, {list(b)} in the model" for n, a, b in self.wrong_shape]
            parts.append(f"{len(self.wrong_shape)} of another shape: {_first(shapes)}")
        return "; ".join(parts)


def compare(tensors: Mapping[str, Tensor], module: nn.Module) -> Mismatch:
    """Return how the weights differ from the module's own names and shapes (it may be on the meta device)."""
    expected = {n: t for n, t in module.state_dict().items() if isinstance(t, Tensor)}
    return Mismatch(tensors, expected)


def fill(module: nn.Module, tensors: Mapping[str, Tensor], architecture: str, path: Path) -> None:
    """Give the module the weights, in place.

    Args:
        module: on the CPU or on the meta device.
        tensors: name → tensor, as `state_dict.find` returns them.
        architecture: what the module is, for the message.
        path: the file, for the message.

    Raises:
        LoadError: names or shapes differ; the first five of each kind are named.
    """
    if mismatch := compare(tensors, module):
        raise LoadError(
            f"the weights in {path} do not fit {architecture}",
            why=str(mismatch),
            fix="give the architecture that they were trained with: --arch NAME or --arch package.module:factory",
            code="weights-do-not-match",
        )
    own = module.state_dict()
    state = {n: t.to(own[n].dtype) for n, t in tensors.items() if n in own}
    for name, tensor in own.items():
        if name not in state:
            state[name] = torch.zeros_like(tensor, device="cpu")
    # a module on the meta device has no memory to copy into; elsewhere copying keeps shared parameters shared
    module.load_state_dict(state, strict=True, assign=any(p.is_meta for p in module.parameters()))


def _first(items: list[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")
