"""Inputs that are noise, for a network without images at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.batch import Inputs
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.rows import check_range

__all__ = ["draw_noise"]

# A generator's state takes 5 kB, which one image's numbers outweigh; kept for every so many rows only.
_KEPT_EVERY = 16
# 4 GiB of float32: an image of that size is a slip in the numbers, and torch would end with an error of its own
_MOST_NUMBERS = 2**30


@dataclass(frozen=True, eq=False)
class NoiseRows:
    """Standard normal rows from one generator, drawn one after the other and again at each call.

    Attributes:
        count: how many rows there are.
        shape: of one row.
        seed: of the generator.
    """

    count: int
    shape: tuple[int, ...]
    seed: int
    _states: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.count

    def part(self, start: int, stop: int) -> Tensor:
        """Return rows start ≤ i < stop, float32; rows before them are drawn again from the last state kept."""
        check_range(start, stop, self.count)
        known = max((row for row in self._states if row <= start), default=0)
        generator = torch.Generator().manual_seed(self.seed)
        if known:
            generator.set_state(self._states[known])
        batch = torch.empty(stop - start, *self.shape, dtype=torch.float32)
        for row in range(known, stop):
            if row % _KEPT_EVERY == 0 and row:
                self._states.setdefault(row, generator.get_state())
            drawn = torch.randn(self.shape, generator=generator, dtype=torch.float32)
            if row >= start:
                batch[row - start] = drawn
        return batch


def draw_noise(
    count: int, preprocessing: Preprocessing, shape: tuple[int, int, int] | None, seed: int
) -> Inputs:
    """Draw standard normal inputs from a generator of their own.

    One after the other, so that the first ones do not depend on the count.

    Args:
        count: how many.
        preprocessing: its size, if it has one, is theirs.
        shape: (channels, height, width).
        seed: of the generator.

    Raises:
        InputsError: no shape is known, or one that no memory holds.
    """
    if shape is None:
        raise InputsError(
            "synthetic inputs need a shape, and the model does not say which it takes",
            why="its channels, height and width cannot be read from the file",
            fix="give a folder of images with --inputs",
            code="inputs-shape",
        )
    if preprocessing.size is not None:
        shape = (shape[0], *preprocessing.target)
    if math.prod(shape) > _MOST_NUMBERS:
        raise InputsError(
            f"synthetic inputs of shape {list(shape)} do not fit into memory",
            why=f"one has {math.prod(shape):.3g} numbers",
            fix="give a smaller size, e.g. --size 224",
            code="inputs-shape",
        )
    return Inputs(
        rows=NoiseRows(count, shape, seed),
        names=tuple(f"synthetic[{i}]" for i in range(count)),
        labels=None,
        classes=None,
        skipped=(),
        kind="synthetic",
        source="synthetic",
        preprocessing=preprocessing,
        seed=seed,
        notes=("independent standard normal numbers, not images: verdicts hold for such inputs",),
    )
