"""Images that are decoded when their row is asked for, and known again by the digest of their file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.image import UnreadableImageError, read_picture
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.rows import check_range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ImageRows"]


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Image files of one size; no pixel is kept between two calls.

    Attributes:
        folder: where the files lie.
        names: their paths relative to the folder.
        digests: SHA-256 of each file when it was listed.
        channels: what every image is brought to; None leaves grey images grey, which then fill all channels alike.
        preprocessing: of every image.
        shape: (C, H, W) of the result.
    """

    folder: Path
    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    channels: int | None
    preprocessing: Preprocessing
    shape: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def part(self, start: int, stop: int) -> Tensor:
        """Decode images start ≤ i < stop: (stop − start, C, H, W), float32.

        Raises:
            InputsError: a file is no longer the one that was listed.
        """
        check_range(start, stop, len(self))
        batch = torch.empty(stop - start, *self.shape, dtype=torch.float32)
        for row, index in zip(batch, range(start, stop), strict=True):
            # a grey image among colour ones broadcasts to three equal channels
            row.copy_(torch.from_numpy(self._pixels(index)).to(torch.float32).div_(255))
            row.copy_(self.preprocessing.normalize(row))
        return batch

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        path = self.folder / self.names[index]
        try:
            picture = read_picture(path, self.channels, self.preprocessing)
        except UnreadableImageError as error:
            raise _changed(path, str(error)) from error
        if picture.digest != self.digests[index]:
            raise _changed(path, "its bytes are others than when the inputs were listed")
        return picture.pixels


def _changed(path: Path, why: str) -> InputsError:
    return InputsError(
        f"{path} changed while it was in use",
        why=why,
        fix="start again once the files stay as they are; a copy of the folder does",
        code="inputs-changed",
    )
