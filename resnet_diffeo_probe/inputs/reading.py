"""From what the user calls inputs to a preprocessed batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from resnet_diffeo_probe.errors import ConfigurationError, InputsError
from resnet_diffeo_probe.inputs.batch import Inputs
from resnet_diffeo_probe.inputs.folder import Candidates, evenly_spaced, find_images
from resnet_diffeo_probe.inputs.image_batch import list_images
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.synthetic import draw_noise
from resnet_diffeo_probe.inputs.tensor_file import TENSOR_SUFFIXES, read_tensor
from resnet_diffeo_probe.nearest import why_not_found

__all__ = ["read_inputs"]

_SYNTHETIC_COUNT = 8


def read_inputs(
    source: str | Path,
    *,
    count: int | None = None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    listed: Callable[[int, int], None] | None = None,
) -> Inputs:
    """Read images, a tensor, or draw noise.

    Images are decoded once to know which can be used, and again whenever their part of the batch is asked for.

    Args:
        source: a folder of images (with class folders or without), one image, a `.npy`, `.pt` or `.safetensors`
            tensor, or `"synthetic"` for standard normal noise. A floating-point tensor is taken as preprocessed;
            one of uint8 counts as pixels, which are scaled and normalised.
        count: how many, evenly spaced over the sorted names; None for all of them (8 if synthetic).
        preprocessing: size, mean and standard deviation.
        shape: the (channels, height, width) that the model takes; where `preprocessing.size` is given, that is the
            size.
        seed: of the noise.
        listed: called after each image of a folder with the number looked at so far and the number wanted.

    Returns:
        The batch; files that could not be used are listed in `skipped`.

    Raises:
        InputsError: nothing usable was found, or sizes or channels do not fit.
        ConfigurationError: the count is not positive, or the statistics are for other channels.
    """
    if count is not None and count < 1:
        raise ConfigurationError(
            f"{count} inputs are asked for", why="at least one is needed", fix="-n 16", code="inputs-count"
        )
    if str(source) == "synthetic":
        return draw_noise(count or _SYNTHETIC_COUNT, preprocessing, shape, seed)
    path = Path(source)
    with contextlib.suppress(RuntimeError):  # "~nobody": no such user, so it is a name like any other
        path = path.expanduser()
    try:
        if path.is_dir():
            found = find_images(path)
            return list_images(path, str(source), found, count, preprocessing, shape, seed, listed)
        return _file(path, str(source), count, preprocessing, shape, seed)
    except OSError as error:
        raise InputsError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix="check the path and its permissions",
            code="inputs-not-found",
        ) from error


def _file(
    path: Path,
    source: str,
    count: int | None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
    seed: int,
) -> Inputs:
    """Read one file: a tensor if its suffix says so, else an image."""
    if not path.exists():
        raise _not_found(path)
    if not path.is_file():
        raise InputsError(
            f"{path} is not a regular file",
            why="it is a pipe, a socket or a device",
            fix="give a folder of images, an image, or a tensor file",
            code="inputs-not-found",
        )
    if path.suffix.lower() in TENSOR_SUFFIXES:
        return _tensor(path, source, count, preprocessing, shape, seed)
    only = Candidates((path.name,), (), None)
    return list_images(path.parent, source, only, count, preprocessing, shape, seed)


def _tensor(
    path: Path,
    source: str,
    count: int | None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
    seed: int,
) -> Inputs:
    """Take a stored batch as it is, or normalise it if it holds pixels."""
    rows, pixels, notes = read_tensor(path)
    wanted = shape
    if wanted is not None and preprocessing.size is not None:
        wanted = (wanted[0], *preprocessing.target)
    if wanted is not None and rows.shape != wanted:
        last = rows.shape[2] == wanted[0] and rows.shape[0] != wanted[0]
        raise InputsError(
            f"{path} holds inputs of shape {list(rows.shape)}, the model takes {list(wanted)}",
            why="its channels come last, (N, H, W, C)" if last else "tensors are not resized",
            fix="batch.permute(0, 3, 1, 2)"
            if last
            else f"save inputs of that shape, or say --size {rows.shape[1]} if the model takes any size",
            code="inputs-shape",
        )
    chosen = tuple(evenly_spaced(len(rows), count))
    if pixels:
        preprocessing.check_channels(rows.shape[0])
        rows = replace(rows, chosen=chosen, preprocessing=preprocessing)
        notes = (*notes, "uint8 pixels were scaled to [0, 1] and normalised")
    else:
        rows = replace(rows, chosen=chosen)
        preprocessing = Preprocessing.from_preset("none")
        notes = (*notes, "a floating-point tensor counts as preprocessed: it was not normalised again")
    return Inputs(
        rows=rows,
        names=tuple(f"input[{i}]" for i in chosen),
        labels=None,
        classes=None,
        skipped=(),
        kind="tensor",
        source=source,
        preprocessing=preprocessing,
        seed=seed,
        notes=notes,
    )


def _not_found(path: Path) -> InputsError:
    why, fix = why_not_found(path, "give a folder of images, an image or tensor file, or the word synthetic")
    return InputsError(f"{path} does not exist", why=why, fix=fix, code="inputs-not-found")
