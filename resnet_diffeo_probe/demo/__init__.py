"""A small network that ships with the package, and held-out digits to probe it with.

A CIFAR-style ResNet trained by `benchmarks/train_demo.py` on scikit-learn's handwritten digits (8×8 grey pixels).
It is loaded like anybody's file: nothing about its architecture is built in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Demo", "demo_paths"]


@dataclass(frozen=True)
class Demo:
    """Where the demo lies, and how its images are preprocessed.

    Attributes:
        model: a safetensors state dict; its architecture is inferred.
        inputs: a folder of PNGs in class folders.
        arch: what to pass as `--arch`; None, since inference finds it.
        mean: of the training pixels, one channel.
        std: of the training pixels.
        size: None: the images have the size that the network was trained on.
    """

    model: Path
    inputs: Path
    arch: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None


def demo_paths() -> Demo:
    """Return the demo's files and preprocessing, read from the record that the training wrote."""
    folder = Path(__file__).resolve().parent
    values = json.loads((folder / "digits.json").read_text(encoding="utf-8"))["preprocessing"]
    return Demo(
        model=folder / "digits_resnet.safetensors",
        inputs=folder / "digits",
        arch=None,
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        size=values["size"],
    )
