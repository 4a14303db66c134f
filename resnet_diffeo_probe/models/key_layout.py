"""What the names and shapes of a ResNet's state dict say about its depth, width and heads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["KeyLayout", "read_layout"]

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.+)")


@dataclass(frozen=True)
class KeyLayout:
    """The skeleton of a `conv1`, `layer1.0.…`, head state dict.

    Attributes:
        depths: blocks of each stage.
        widths: output channels of each stage.
        bottleneck: blocks have a `conv3`.
        stem: shape of `conv1.weight`, (channels, image channels, kernel, kernel).
        stem_norm: whether there is a `bn1` after the stem.
        head: name of the last linear layer, `"fc"` or `"linear"`.
        num_classes: its outputs.
        shortcut: `"downsample"` or `"shortcut"`, the name under which weights lie in shortcuts; None if none do.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    bottleneck: bool
    stem: tuple[int, int, int, int]
    stem_norm: bool
    head: str
    num_classes: int
    shortcut: str | None

    def __str__(self) -> str:
        kind = "bottleneck" if self.bottleneck else "basic"
        return (
            f"{sum(self.depths)} {kind} blocks in stages {list(self.depths)} of {list(self.widths)} channels, "
            f"a {self.stem[2]}×{self.stem[3]} stem on {self.stem[1]} image channels, "
            f"a head {self.head!r} with {self.num_classes} outputs"
        )


def read_layout(tensors: Mapping[str, Tensor]) -> KeyLayout | None:
    """Return the layout, or None if the names are not those of a ResNet with stages `layer1`, `layer2`, …."""
    indices: dict[int, set[int]] = {}
    inside: set[str] = set()
    for name in tensors:
        if match := _BLOCK.fullmatch(name):
            indices.setdefault(int(match[1]), set()).add(int(match[2]))
            inside.add(match[3])
    stages = sorted(indices)
    if not stages or stages != list(range(1, len(stages) + 1)):
        return None
    if any(sorted(indices[stage]) != list(range(len(indices[stage]))) for stage in stages):
        return None
    bottleneck = "conv3.weight" in inside
    last = "conv3.weight" if bottleneck else "conv2.weight"
    outputs = [tensors.get(f"layer{stage}.0.{last}") for stage in stages]
    stem = tensors.get("conv1.weight")
    head = next((h for h in ("fc", "linear") if f"{h}.weight" in tensors), None)
    if stem is None or stem.dim() != 4 or head is None or tensors[f"{head}.weight"].dim() != 2:
        return None
    if any(weight is None or weight.dim() != 4 for weight in outputs):
        return None
    if any(
        weight is not None and 0 in weight.shape for weight in (stem, tensors[f"{head}.weight"], *outputs)
    ):
        return None
    height, width = int(stem.shape[2]), int(stem.shape[3])
    return KeyLayout(
        depths=tuple(len(indices[stage]) for stage in stages),
        widths=tuple(int(weight.shape[0]) for weight in outputs if weight is not None),
        bottleneck=bottleneck,
        stem=(int(stem.shape[0]), int(stem.shape[1]), height, width),
        stem_norm="bn1.weight" in tensors,
        head=head,
        num_classes=int(tensors[f"{head}.weight"].shape[0]),
        shortcut=next(
            (s for s in ("downsample", "shortcut") if any(n.startswith(s + ".") for n in inside)), None
        ),
    )
