"""A `.npy` file of inputs, of which only the rows that are asked for are read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from resnet_diffeo_probe.errors import InputsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MappedArray"]


@dataclass(frozen=True, eq=False)
class MappedArray:
    """An array on disk, mapped anew at each access, so that nothing stays open and it can travel to a worker.

    Attributes:
        path: the file.
        shape: of the whole array.
        dtype: as stored.
        stamp: size, time of change and number of the file, by which it is known again.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: tuple[int, int, int]

    @classmethod
    def open(cls, path: Path) -> MappedArray:
        """Read the header.

        Raises:
            ValueError, OSError, EOFError, OverflowError, SyntaxError: it is damaged, or its array is not of plain
                numbers, or longer than the file.
        """
        stamp = _stamp(path)
        array = _map(path)
        return cls(path, tuple(array.shape), array.dtype, stamp)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def rows(self, index: Sequence[int]) -> Tensor:
        """Return these rows, copied: uint8 as they are, all else in float32 and the machine's byte order.

        Raises:
            InputsError: the file changed or vanished since it was opened.
        """
        try:
            # a map of a file that was cut would end the process when it is read
            same = _stamp(self.path) == self.stamp
            array = _map(self.path) if same else None
        except (OSError, ValueError) as error:
            raise self._changed(str(error)) from error
        if array is None:
            raise self._changed("its size or time of change is another than when it was opened")
        kind = np.uint8 if array.dtype == np.uint8 else np.float32
        with np.errstate(all="ignore"):  # what float32 cannot hold becomes infinite, which is looked for
            return torch.from_numpy(np.ascontiguousarray(array[list(index)], dtype=kind))

    def _changed(self, why: str) -> InputsError:
        return InputsError(
            f"{self.path} changed while it was in use",
            why=why,
            fix="start again once the file stays as it is",
            code="inputs-changed",
        )


def _map(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about headers of other times; what they say is checked
        # unlike numpy.load, this opens neither archives nor pickles
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        return array


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
