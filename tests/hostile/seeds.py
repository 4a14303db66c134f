"""Sound files of every kind that is read, small enough to be damaged thousands of times."""

from __future__ import annotations

import io
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from resnet_diffeo_probe.models import CifarResNet
from tests.report import sample

__all__ = ["SEEDS"]


def network() -> CifarResNet:
    """Return a CIFAR ResNet of two blocks with random weights."""
    torch.manual_seed(0)
    return CifarResNet((1, 1), (4, 8), num_classes=3).eval()


def _saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def models() -> dict[str, bytes]:
    """Return checkpoints by name, each in a format of its own."""
    net = network()
    weights = net.state_dict()
    nested = {"epoch": 3, "state_dict": {f"module.{name}": t.half() for name, t in weights.items()}}
    exported, script = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files exist
        torch.export.save(torch.export.export(net, (torch.randn(1, 3, 8, 8),)), exported)
        torch.jit.save(torch.jit.trace(net, torch.randn(2, 3, 8, 8)), script)
    return {
        "a.pt": _saved(weights),
        "nested.pth": _saved(nested),
        "legacy.pth": _saved(weights, _use_new_zipfile_serialization=False),
        "a.safetensors": safetensors_bytes(weights, {"input_shape": "3,8,8"}),
        "a.pt2": exported.getvalue(),
        "script.pt": script.getvalue(),
        "plain.pkl": pickle.dumps({"conv1.weight": [1.0, 2.0]}),
    }


def tensors() -> dict[str, bytes]:
    """Return batches of inputs by name."""
    batch = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    array, pixels = io.BytesIO(), io.BytesIO()
    np.save(array, batch.numpy())
    np.save(pixels, np.zeros((2, 1, 8, 8), dtype=np.uint8))
    return {
        "a.npy": array.getvalue(),
        "pixels.npy": pixels.getvalue(),
        "a.pt": _saved({"inputs": batch, "labels": torch.zeros(4)}),
        "legacy.pt": _saved(batch, _use_new_zipfile_serialization=False),
        "a.safetensors": safetensors_bytes({"x": batch}),
    }


def images() -> dict[str, bytes]:
    """Return one photograph-like image in every format that is read."""
    chance = np.random.default_rng(0)
    colour = Image.fromarray(chance.integers(0, 256, (12, 9, 3), dtype=np.uint8)).resize((40, 48))
    made = {
        "a.png": (colour, {}),
        "a.jpg": (colour, {}),
        "palette.gif": (colour.convert("P"), {}),
        "a.bmp": (colour, {}),
        "a.webp": (colour, {}),
        "a.tif": (colour, {"compression": "tiff_lzw"}),
        "jpeg.tif": (colour, {"compression": "jpeg"}),
        "deep.png": (Image.fromarray(chance.integers(0, 2**16, (9, 7)).astype(np.uint16)), {}),
        "a.ppm": (colour, {}),
        "a.jp2": (colour, {}),
        "alpha.png": (colour.convert("RGBA"), {}),
    }
    content = {}
    for name, (image, options) in made.items():
        stream = io.BytesIO()
        image.save(stream, format=Image.registered_extensions()[Path(name).suffix], **options)
        content[name] = stream.getvalue()
    return content


def results() -> dict[str, bytes]:
    """Return stored analyses: those that the report's tests are made of."""
    plain = sample.make_result(units=3, inputs=2)
    full = sample.make_result(units=4, inputs=3, parts=sample.EVIDENCE)
    return {"plain.json": json.dumps(plain).encode(), "full.json": json.dumps(full).encode()}


def configurations() -> dict[str, bytes]:
    """Return a file of options and one of limits."""
    run = """# options of an analysis
model = "model.pt"
inputs = "synthetic"
count = 4
seed = 3
measures = "sign,residual_ratio"
budget = "quick"
workers = 1
"""
    limits = """# limits of units
max_residual_ratio = 2.0
min_sigma_min = 1e-3

[units."layer1.*"]
max_residual_ratio = 5
"""
    return {"run.toml": run.encode(), "limits.toml": limits.encode()}


SEEDS = {
    "model": models,
    "tensor": tensors,
    "image": images,
    "result": results,
    "page": results,
    "config": configurations,
}
