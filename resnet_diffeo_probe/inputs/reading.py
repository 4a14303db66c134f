"""From what the user calls inputs to a preprocessed batch."""

from __future__ import annotations

import contextlib
import difflib
from collections import Counter
from pathlib import Path

import torch

from resnet_diffeo_probe.errors import ConfigurationError, InputsError
from resnet_diffeo_probe.inputs.batch import Inputs
from resnet_diffeo_probe.inputs.folder import Candidates, evenly_spaced, find_images, label_of
from resnet_diffeo_probe.inputs.image import Picture, UnreadableImageError, read_picture
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.synthetic import draw_noise
from resnet_diffeo_probe.inputs.tensor_file import TENSOR_SUFFIXES, read_tensor

__all__ = ["read_inputs"]

_SYNTHETIC_COUNT = 8


def read_inputs(
    source: str | Path,
    *,
    count: int | None = None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None = None,
    seed: int = 0,
) -> Inputs:
    """Read images, a tensor, or draw noise.

    Args:
        source: a folder of images (with class folders or without), one image, a `.npy`, `.pt` or `.safetensors`
            tensor, or `"synthetic"` for standard normal noise. A floating-point tensor is taken as preprocessed;
            one of uint8 counts as pixels, which are scaled and normalised.
        count: how many, evenly spaced over the sorted names; None for all of them (8 if synthetic).
        preprocessing: size, mean and standard deviation.
        shape: the (channels, height, width) that the model takes; where `preprocessing.size` is given, that is the
            size.
        seed: of the noise.

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
            return _images(path, str(source), found, count, preprocessing, shape, seed)
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
    return _images(path.parent, source, only, count, preprocessing, shape, seed)


def _images(
    folder: Path,
    source: str,
    found: Candidates,
    count: int | None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
    seed: int,
) -> Inputs:
    """Decode evenly spaced images; one that turns out to be damaged is left out, and the choice made again."""
    channels = _channels(preprocessing, shape)
    names = list(found.names)
    skipped = dict(found.skipped)
    decoded: dict[str, Picture] = {}
    while True:
        chosen = [names[i] for i in evenly_spaced(len(names), count)]
        if not chosen:
            raise _no_image(source, skipped)
        damaged = False
        for name in chosen:
            if name in decoded:
                continue
            try:
                picture = read_picture(folder / name, channels, preprocessing)
            except UnreadableImageError as error:
                skipped[name] = str(error)
                names.remove(name)
                damaged = True
            else:
                decoded[name] = picture if _fits(picture, preprocessing, shape) else picture.without_pixels()
        if not damaged:
            break
    pictures = [decoded[name] for name in chosen]
    height, width = _common_size(chosen, pictures, preprocessing, shape)
    deep = max(picture.pixels.shape[0] for picture in pictures)
    preprocessing.check_channels(deep)
    batch = torch.empty(len(chosen), deep, height, width, dtype=torch.float32)
    for row, picture in zip(batch, pictures, strict=True):
        # a grey image among colour ones broadcasts to three equal channels
        row.copy_(torch.from_numpy(picture.pixels).to(torch.float32).div_(255))
        row.copy_(preprocessing.normalize(row))
    counted = Counter(note for picture in pictures for note in picture.notes)
    return Inputs(
        tensor=batch,
        names=tuple(chosen),
        labels=tuple(label_of(name) for name in chosen) if found.classes is not None else None,
        classes=found.classes,
        skipped=tuple(sorted(skipped.items())),
        kind="images",
        source=source,
        preprocessing=preprocessing,
        seed=seed,
        notes=tuple(f"{number} of {len(chosen)} images: {note}" for note, number in counted.items()),
    )


def _tensor(
    path: Path,
    source: str,
    count: int | None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
    seed: int,
) -> Inputs:
    """Take a stored batch as it is, or normalise it if it holds pixels."""
    stored, notes = read_tensor(path)
    wanted = shape
    if wanted is not None and preprocessing.size is not None:
        wanted = (wanted[0], *preprocessing.target)
    if wanted is not None and tuple(stored.shape[1:]) != wanted:
        last = stored.shape[-1] == wanted[0] and stored.shape[1] != wanted[0]
        raise InputsError(
            f"{path} holds inputs of shape {list(stored.shape[1:])}, the model takes {list(wanted)}",
            why="its channels come last, (N, H, W, C)" if last else "tensors are not resized",
            fix="batch.permute(0, 3, 1, 2)"
            if last
            else f"save inputs of that shape, or say --size {stored.shape[2]} if the model takes any size",
            code="inputs-shape",
        )
    index = evenly_spaced(len(stored), count)
    if len(index) < len(stored):
        stored = stored[index]
    if stored.dtype == torch.uint8:
        preprocessing.check_channels(stored.shape[1])
        batch = preprocessing.normalize(stored.to(torch.float32).div_(255))
        notes = (*notes, "uint8 pixels were scaled to [0, 1] and normalised")
    else:
        batch = stored.contiguous()
        preprocessing = Preprocessing.from_preset("none")
        notes = (*notes, "a floating-point tensor counts as preprocessed: it was not normalised again")
    return Inputs(
        tensor=batch,
        names=tuple(f"input[{i}]" for i in index),
        labels=None,
        classes=None,
        skipped=(),
        kind="tensor",
        source=source,
        preprocessing=preprocessing,
        seed=seed,
        notes=notes,
    )


def _channels(preprocessing: Preprocessing, shape: tuple[int, int, int] | None) -> int | None:
    """Return how many channels images need; None if neither the model nor the statistics say."""
    if shape is None:
        return len(preprocessing.mean) if len(preprocessing.mean) > 1 else None
    if shape[0] not in {1, 3}:
        raise InputsError(
            f"the model takes {shape[0]} channels, which images do not have",
            why="an image file gives 1 (grey) or 3 (colour)",
            fix="give the inputs as a .npy or .pt tensor of shape (N, C, H, W)",
            code="inputs-channels",
        )
    preprocessing.check_channels(shape[0])
    return shape[0]


def _fits(picture: Picture, preprocessing: Preprocessing, shape: tuple[int, int, int] | None) -> bool:
    """Return whether an image can be used; of one that cannot, only the size is kept, for the message."""
    return shape is None or preprocessing.size is not None or picture.pixels.shape[1:] == shape[1:]


def _common_size(
    names: list[str],
    pictures: list[Picture],
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
) -> tuple[int, int]:
    """Return the one (height, width) of all images.

    Raises:
        InputsError: they differ, or are not what the model takes, and no size was given.
    """
    sizes = Counter(picture.pixels.shape[1:] for picture in pictures)
    if preprocessing.size is not None:
        return preprocessing.target
    listed = ", ".join(f"{h}×{w} ({number})" for (h, w), number in sizes.most_common(4))
    listed += f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
    if shape is not None and any(size != shape[1:] for size in sizes):
        first = next(n for n, p in zip(names, pictures, strict=True) if p.pixels.shape[1:] != shape[1:])
        raise InputsError(
            f"the model takes images of {shape[1]}×{shape[2]}, these are {listed}",
            why=f"the first of another size is {first!r}; images are not resized unless a size is given",
            fix=f"--size {shape[1]} to resize and crop them"
            + (
                f", or --size {min(next(iter(sizes)))} if the model takes any size" if len(sizes) == 1 else ""
            ),
            code="inputs-size",
        )
    if len(sizes) > 1:
        raise InputsError(
            f"the images have different sizes: {listed}",
            why="they go through the network as one batch",
            fix=f"--size {min(min(size) for size in sizes)} to resize and crop them",
            code="inputs-size",
        )
    (size,) = sizes
    return int(size[0]), int(size[1])


def _no_image(source: str, skipped: dict[str, str]) -> InputsError:
    first = "; ".join(f"{name}: {reason}" for name, reason in sorted(skipped.items())[:3])
    return InputsError(
        f"{source} holds no image that can be read",
        why=f"{len(skipped)} files were looked at: {first}" if skipped else "the folder is empty",
        fix="give a folder of images, one image, a .npy or .pt tensor, or --inputs synthetic",
        code="inputs-none",
    )


def _not_found(path: Path) -> InputsError:
    folder = path.parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return InputsError(
        f"{path} does not exist",
        why=f"nothing of that name lies in {folder}" if folder.is_dir() else f"there is no folder {folder}",
        fix="did you mean " + " or ".join(str(folder / name) for name in near) + "?"
        if near
        else "give a folder of images, an image or tensor file, or the word synthetic",
        code="inputs-not-found",
    )
