"""What loading a file gives: the module, and everything a report says about where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

__all__ = ["LoadedModel"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network ready to be probed, with its provenance.

    Attributes:
        module: in evaluation mode, on the CPU, float32, no parameter requires a gradient.
        path: the file.
        sha256: of the file's bytes, 64 hexadecimal digits.
        format: what the file is, in plain words.
        architecture: what was built, e.g. `"cifar_resnet20 (option A)"`.
        architecture_assumed: True where it was inferred from names and shapes: these match, but weights do
            not say how the forward pass connects them.
        notes: what was converted, chosen or left out on the way, one sentence each.
        num_classes: outputs of the classification head, None if unknown.
        input_shape: a suggested (channels, height, width), None if unknown.
        parameters: how many numbers the parameters hold, each shared one counted once.
    """

    module: nn.Module
    path: Path
    sha256: str
    format: str
    architecture: str
    architecture_assumed: bool
    notes: tuple[str, ...]
    num_classes: int | None
    input_shape: tuple[int, int, int] | None
    parameters: int
