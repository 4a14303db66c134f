"""A network without weights of its own yet, with the name that a report gives it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

__all__ = ["Architecture"]


@dataclass(frozen=True, eq=False)
class Architecture:
    """A module to put weights into.

    Attributes:
        module: on the meta device or on the CPU.
        name: e.g. `"torchvision resnet50"`.
        assumed: True where it was inferred from a state dict.
        notes: what the inference rests on.
        num_classes: outputs of the head, if known.
        input_shape: a suggested (channels, height, width), if known.
    """

    module: nn.Module
    name: str
    assumed: bool = False
    notes: tuple[str, ...] = ()
    num_classes: int | None = None
    input_shape: tuple[int, int, int] | None = None
