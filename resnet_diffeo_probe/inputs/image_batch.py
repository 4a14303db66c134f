"""From the images that were found to a batch: each is decoded once to know that it can be used, then let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.batch import Inputs
from resnet_diffeo_probe.inputs.folder import Candidates, evenly_spaced, label_of
from resnet_diffeo_probe.inputs.image import UnreadableImageError, read_picture
from resnet_diffeo_probe.inputs.image_rows import ImageRows
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing

__all__ = ["list_images"]


@dataclass(frozen=True)
class _Checked:
    """What is kept of an image that was decoded: its (C, H, W), what was converted, and its file's digest."""

    shape: tuple[int, ...]
    notes: tuple[str, ...]
    digest: bytes


def list_images(
    folder: Path,
    source: str,
    found: Candidates,
    count: int | None,
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
    seed: int,
    listed: Callable[[int, int], None] | None = None,
) -> Inputs:
    """Choose evenly spaced images; one that turns out to be damaged is left out, and the choice made again.

    Args:
        folder: where they lie.
        source: the folder or file as the user gave it.
        found: the images below the folder.
        count: how many; None for all.
        preprocessing: of every image.
        shape: (channels, height, width) that the model takes, if known.
        seed: recorded with the inputs.
        listed: called with the number of images decoded so far and the number wanted.

    Raises:
        InputsError: there is no usable image, or sizes or channels do not fit.
        ConfigurationError: the statistics are for other channels.
    """
    channels = _channels(preprocessing, shape)
    names = list(found.names)
    skipped = dict(found.skipped)
    checked: dict[str, _Checked] = {}
    while True:
        chosen = [names[i] for i in evenly_spaced(len(names), count)]
        if not chosen:
            raise _no_image(source, skipped)
        damaged = set()
        for name in chosen:
            if name in checked:
                continue
            try:
                picture = read_picture(folder / name, channels, preprocessing)
            except UnreadableImageError as error:
                skipped[name] = str(error)
                damaged.add(name)
            else:
                checked[name] = _Checked(picture.pixels.shape, picture.notes, picture.digest)
                if listed is not None:
                    listed(len(checked), max(len(chosen), len(checked)))
        if not damaged:
            break
        names = [name for name in names if name not in damaged]
    images = [checked[name] for name in chosen]
    height, width = _common_size(chosen, images, preprocessing, shape)
    deep = max(image.shape[0] for image in images)
    preprocessing.check_channels(deep)
    counted = Counter(note for image in images for note in image.notes)
    digests = tuple(image.digest for image in images)
    return Inputs(
        rows=ImageRows(folder, tuple(chosen), digests, channels, preprocessing, (deep, height, width)),
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


def _common_size(
    names: list[str],
    images: list[_Checked],
    preprocessing: Preprocessing,
    shape: tuple[int, int, int] | None,
) -> tuple[int, int]:
    """Return the one (height, width) of all images.

    Raises:
        InputsError: they differ, or are not what the model takes, and no size was given.
    """
    sizes = Counter(image.shape[1:] for image in images)
    if preprocessing.size is not None:
        return preprocessing.target
    listed = ", ".join(f"{h}×{w} ({number})" for (h, w), number in sizes.most_common(4))
    listed += f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
    if shape is not None and any(size != shape[1:] for size in sizes):
        first = next(n for n, i in zip(names, images, strict=True) if i.shape[1:] != shape[1:])
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
