"""A batch that is already a tensor: `.npy`, `.pt` or `.safetensors`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.errors import InputsError

__all__ = ["TENSOR_SUFFIXES", "read_tensor"]

TENSOR_SUFFIXES = frozenset({".npy", ".pt", ".pth", ".safetensors"})
_USUAL_KEYS = ("inputs", "input", "images", "image", "x", "data")


def read_tensor(path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Return the batch in a file, and notes on it.

    Args:
        path: an array (N, C, H, W), or (C, H, W) for one input: floating point or uint8.

    Returns:
        (N, C, H, W) as stored, float32 or uint8, and what was converted.

    Raises:
        InputsError: the file is damaged, would run code, or holds no such tensor.
    """
    content = _read(path)
    notes: list[str] = []
    if isinstance(content, dict):
        key = _choose(content, path)
        if len(content) > 1:
            notes.append(f"the tensor {key!r} of the file was taken")
        content = content[key]
    if not isinstance(content, Tensor):
        raise InputsError(
            f"{path} holds a {type(content).__name__}, not a tensor",
            why="the inputs have to be one array (N, C, H, W)",
            fix='torch.save(batch, "inputs.pt") or numpy.save("inputs.npy", batch)',
            code="inputs-not-a-tensor",
        )
    tensor = content.detach()
    if tensor.dim() == 3:
        tensor = tensor[None]
    if tensor.dim() != 4 or 0 in tensor.shape:
        raise InputsError(
            f"{path} holds a tensor of shape {list(tensor.shape)}",
            why="inputs are (N, C, H, W), or (C, H, W) for a single one, none of them zero",
            fix="reshape it before it is saved, e.g. batch[:, None] for grey images (N, H, W)",
            code="inputs-shape",
        )
    if (
        tensor.is_complex()
        or tensor.is_quantized
        or not (tensor.is_floating_point() or tensor.dtype == torch.uint8)
    ):
        raise InputsError(
            f"{path} holds {str(tensor.dtype).removeprefix('torch.')} numbers",
            why="inputs are floating point and preprocessed, or uint8 pixels that are still to be",
            fix="save it as float32, preprocessed as in training",
            code="inputs-dtype",
        )
    if tensor.is_floating_point():
        if tensor.dtype != torch.float32:
            notes.append(f"{str(tensor.dtype).removeprefix('torch.')} converted to float32")
            tensor = tensor.to(torch.float32)
        bad = (~torch.isfinite(tensor)).flatten(1).any(dim=1).nonzero().flatten().tolist()
        if bad:
            raise InputsError(
                f"{path} holds NaN or infinite numbers",
                why=f"in input {', '.join(map(str, bad[:5]))}"
                + (f" and {len(bad) - 5} more" if len(bad) > 5 else ""),
                fix="leave these inputs out, or mend the preprocessing that made them",
                code="inputs-not-finite",
            )
    return tensor, tuple(notes)


def _read(path: Path) -> Any:
    """Return what the file holds; nothing in it is executed."""
    try:
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                array = np.load(stream, allow_pickle=False)
            return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
        if path.suffix == ".safetensors":
            import safetensors.torch  # noqa: PLC0415 - only for these files

            return dict(safetensors.torch.load_file(str(path)))
        with path.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputsError(
            f"{path} is damaged, or would run code while it is read",
            why="only plain tensors are read from a .pt file of inputs",
            fix='torch.save(batch, "inputs.pt") with batch a torch.Tensor',
            code="inputs-not-trusted",
        ) from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise InputsError(
            f"{path} cannot be read as a tensor",
            why=lines[0][:200] if lines else type(error).__name__,
            fix='save it again: torch.save(batch, "inputs.pt") or numpy.save("inputs.npy", batch), numbers only',
            code="inputs-unreadable",
        ) from error


def _choose(content: dict[Any, Any], path: Path) -> Any:
    """Return the key of the inputs in a dictionary."""
    tensors = [key for key, value in content.items() if isinstance(value, Tensor)]
    usual = [key for key in _USUAL_KEYS if key in tensors]
    if len(tensors) == 1 or usual:
        return usual[0] if usual else tensors[0]
    raise InputsError(
        f"{path} does not hold one tensor but {len(tensors)}",
        why="they are called " + ", ".join(map(repr, tensors[:5]))
        if tensors
        else "it is a dictionary of other things",
        fix='save the batch alone, or under the key "inputs"',
        code="inputs-not-a-tensor",
    )
