"""What reading inputs gives: a batch that is read in parts, with the name and label of each of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.rows import Rows

__all__ = ["Inputs", "accuracy"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """A preprocessed batch with its provenance; its numbers are read when they are asked for.

    Attributes:
        rows: where the numbers come from: `TensorRows(tensor)` for a tensor (N, *shape), else files or a generator.
        names: of each row: the path relative to the folder with '/', or `"input[0]"`, `"synthetic[0]"`. Untrusted
            text, as it is; whoever prints it escapes it.
        labels: the class folder of each row; None without class folders.
        classes: the names of all class folders, sorted; None without.
        skipped: (name, reason) of every file that could not be used.
        kind: where the rows came from.
        source: the path as given, or `"synthetic"`.
        preprocessing: what was applied.
        seed: of synthetic inputs.
        notes: what was converted on the way, one sentence each.
    """

    rows: Rows
    names: tuple[str, ...]
    labels: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    skipped: tuple[tuple[str, str], ...]
    kind: Literal["images", "tensor", "synthetic"]
    source: str
    preprocessing: Preprocessing
    seed: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return N."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input: (C, H, W) for images."""
        return self.rows.shape

    def part(self, start: int, stop: int) -> Tensor:
        """Return the inputs start ≤ i < stop: (stop − start, *shape), float32 on the CPU if they come from files.

        Images are decoded at each call, so only what is asked for takes memory.

        Raises:
            IndexError: not 0 ≤ start ≤ stop ≤ N.
            InputsError: a file changed or vanished since the inputs were listed.
        """
        return self.rows.part(start, stop)

    @property
    def tensor(self) -> Tensor:
        """All inputs at once, (N, *shape); 10,000 images of 3×224×224 take 6 GB: `part` is for these."""
        return self.rows.part(0, len(self.rows))


def accuracy(logits: Tensor, inputs: Inputs, num_classes: int | None) -> tuple[int, int] | None:
    """Return (correct, total) at top 1, where labels can be compared with the model's outputs.

    A class's index is the place of its folder among the sorted folders, as in torchvision's `ImageFolder`; that
    only means something if there are as many folders as the model has classes.

    Args:
        logits: (N, num_classes), in the order of `inputs`.
        inputs: the batch that they were computed from.
        num_classes: of the model; None if unknown.

    Returns:
        None without labels, or where the number of class folders is not the model's number of classes.

    Raises:
        ValueError: there are not as many rows of logits as inputs.
    """
    if inputs.labels is None or inputs.classes is None or len(inputs.classes) != num_classes:
        return None
    if logits.dim() != 2 or logits.shape != (len(inputs.labels), num_classes):
        raise ValueError(
            f"logits {tuple(logits.shape)} for {len(inputs.labels)} inputs and {num_classes} classes"
        )
    index = {name: number for number, name in enumerate(inputs.classes)}
    truth = torch.tensor([index[label] for label in inputs.labels], device=logits.device)
    return int((logits.argmax(dim=1) == truth).sum()), len(inputs.labels)
