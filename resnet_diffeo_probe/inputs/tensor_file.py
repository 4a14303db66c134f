"""A batch that is already a tensor: `.npy`, `.pt` or `.safetensors`."""

from __future__ import annotations

import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.mapped_array import MappedArray
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.restricted import load_restricted
from resnet_diffeo_probe.inputs.rows import check_range, wastes_memory
from resnet_diffeo_probe.inputs.text_file import first_line
from resnet_diffeo_probe.inputs.unpacking import is_bomb, unpacked_size

__all__ = ["TENSOR_SUFFIXES", "StoredRows", "read_tensor"]

TENSOR_SUFFIXES = frozenset({".npy", ".pt", ".pth", ".safetensors"})
# numbers whose finiteness is looked at together: 4 MiB of float32
_CHECKED_AT_ONCE = 2**20
_USUAL_KEYS = ("inputs", "input", "images", "image", "x", "data")


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Chosen rows of a stored batch (N, C, H, W), in float32; pixels are scaled and normalised.

    Attributes:
        stored: the batch as it is stored, float32 or uint8; of an array on disk, only the rows asked for are read.
        shape: (C, H, W).
        chosen: the rows of `stored` that count.
        preprocessing: of pixels; None where the numbers are taken as they are.
    """

    stored: Tensor | MappedArray
    shape: tuple[int, ...]
    chosen: tuple[int, ...]
    preprocessing: Preprocessing | None = None

    def __len__(self) -> int:
        """Return the number of chosen rows."""
        return len(self.chosen)

    def part(self, start: int, stop: int) -> Tensor:
        """Return chosen rows start ≤ i < stop: (stop − start, C, H, W), float32.

        Raises:
            InputsError: the file on disk changed or vanished.
        """
        check_range(start, stop, len(self))
        batch = _rows(self.stored, self.chosen[start:stop]).reshape(stop - start, *self.shape)
        if self.preprocessing is None:
            return batch
        return self.preprocessing.normalize(batch.to(torch.float32).div_(255))


def read_tensor(path: Path) -> tuple[StoredRows, bool, tuple[str, ...]]:
    """Return the batch in a file, all of it chosen and nothing normalised yet.

    A `.npy` array stays on disk; other files are read as a whole.

    Args:
        path: an array (N, C, H, W), or (C, H, W) for one input: floating point or uint8.

    Returns:
        The rows, whether they are pixels (uint8), and notes on what was converted.

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
    if not isinstance(content, Tensor | MappedArray):
        raise InputsError(
            f"{path} holds a {type(content).__name__}, not a tensor",
            why="the inputs have to be one array (N, C, H, W)",
            fix='torch.save(batch, "inputs.pt") or numpy.save("inputs.npy", batch)',
            code="inputs-not-a-tensor",
        )
    shape = tuple(content.shape)
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputsError(
            f"{path} holds a tensor of shape {list(shape)}",
            why="inputs are (N, C, H, W), or (C, H, W) for a single one, none of them zero",
            fix="reshape it before it is saved, e.g. batch[:, None] for grey images (N, H, W)",
            code="inputs-shape",
        )
    stored = _plain(content, path)
    dtype = str(stored.dtype).removeprefix("torch.")
    pixels = dtype == "uint8"
    if isinstance(stored, Tensor):
        stored = stored.detach()
        stored = (stored if pixels else stored.to(torch.float32)).reshape(-1, *shape[-3:])
    if not pixels and dtype != "float32":
        notes.append(f"{dtype} converted to float32")
    whole = tuple(range(shape[0] if len(shape) == 4 else 1))
    rows = StoredRows(stored, shape[-3:], whole)
    if not pixels:
        _check_finite(rows, path)
    return rows, pixels, tuple(notes)


def _rows(stored: Tensor | MappedArray, index: tuple[int, ...]) -> Tensor:
    if isinstance(stored, Tensor):
        return stored[list(index)]
    return stored.rows(index) if len(stored.shape) == 4 else stored.rows(range(len(stored)))[None]


def _plain(content: Tensor | MappedArray, path: Path) -> Tensor | MappedArray:
    """Return a tensor of floating-point numbers or bytes, each stored once.

    Raises:
        InputsError: its numbers are of another type, sparse, or fewer than its shape says.
    """
    if isinstance(content, Tensor):
        usable = content.is_floating_point() or content.dtype == torch.uint8
        usable = usable and not content.is_quantized and content.layout == torch.strided
        usable = usable and content.device.type == "cpu"
        name = str(content.dtype).removeprefix("torch.") + (
            " sparse" if content.layout != torch.strided else ""
        )
        if usable and wastes_memory(content):
            raise InputsError(
                f"{path} holds a tensor of shape {list(content.shape)}, larger than its numbers",
                why="its strides repeat the same few numbers: the file is damaged, or built to fill the memory",
                fix="save it again with batch.contiguous()",
                code="inputs-shape",
            )
    else:
        usable = content.dtype.kind == "f" or content.dtype == np.uint8
        name = content.dtype.name
    if not usable:
        raise InputsError(
            f"{path} holds {name} numbers",
            why="inputs are floating point and preprocessed, or uint8 pixels that are still to be",
            fix="save it as float32, preprocessed as in training",
            code="inputs-dtype",
        )
    return content


def _check_finite(rows: StoredRows, path: Path) -> None:
    """Raise if a number is NaN, or infinite in float32; a part of the rows at a time."""
    bad: list[int] = []
    step = max(1, _CHECKED_AT_ONCE // math.prod(rows.shape))
    for start in range(0, len(rows), step):
        part = rows.part(start, min(start + step, len(rows)))
        bad += [start + i for i in (~torch.isfinite(part)).flatten(1).any(dim=1).nonzero().flatten().tolist()]
    if bad:
        raise InputsError(
            f"{path} holds NaN or infinite numbers",
            why=f"in input {', '.join(map(str, bad[:5]))}"
            + (f" and {len(bad) - 5} more" if len(bad) > 5 else ""),
            fix="leave these inputs out, or mend the preprocessing that made them",
            code="inputs-not-finite",
        )


def _read(path: Path) -> Any:
    """Return what the file holds; nothing in it is executed."""
    try:
        _check_content(path)
        if path.suffix.lower() == ".npy":
            return MappedArray.open(path)
        if path.suffix.lower() == ".safetensors":
            import safetensors.torch  # noqa: PLC0415 - only for these files

            return dict(safetensors.torch.load_file(str(path)))
        with path.open("rb") as stream:
            return load_restricted(stream)
    except InputsError:
        raise
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


def _check_content(path: Path) -> None:
    """Raise for text under a tensor's name, and for an archive that would fill the memory.

    Raises:
        InputsError: it is one of these.
        zipfile.BadZipFile, OSError, ValueError, NotImplementedError: a damaged archive.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(4096)
    if size and (line := first_line(head, size)) is not None:
        raise InputsError(
            f"{path} is a text file, not a tensor",
            why=f"it begins with {line!r}",
            fix='torch.save(batch, "inputs.pt") or numpy.save("inputs.npy", batch)',
            code="inputs-not-a-tensor",
        )
    if zipfile.is_zipfile(path) and is_bomb(unpacked := unpacked_size(path), size):
        raise InputsError(
            f"{path} would unpack to {unpacked / 2**30:.1f} GiB",
            why=f"it has {size / 2**20:.1f} MiB: a decompression bomb, or a damaged archive",
            fix='save the batch again: torch.save(batch, "inputs.pt")',
            code="inputs-unpack-too-large",
        )


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
