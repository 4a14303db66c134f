"""Inputs that are noise, for a network without images at hand."""

from __future__ import annotations

import torch

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.batch import Inputs
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing

__all__ = ["draw_noise"]


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
        InputsError: no shape is known.
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
    generator = torch.Generator().manual_seed(seed)
    batch = torch.stack([torch.randn(shape, generator=generator, dtype=torch.float32) for _ in range(count)])
    return Inputs(
        tensor=batch,
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
