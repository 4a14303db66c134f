"""The rows of a batch, read when they are asked for: what is behind them may be a tensor, files or a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ["Rows", "TensorRows", "check_range", "wastes_memory"]

# A tensor whose strides repeat a few numbers takes this many times the memory of its file as soon as it is used.
_MOST_REPEATED = 16
_SMALL = 2**20


class Rows(Protocol):
    """A sequence of inputs of one shape, of which any part can be read by itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    def __len__(self) -> int:
        """Return the number of inputs."""

    def part(self, start: int, stop: int) -> Tensor:
        """Return the inputs start ≤ i < stop as (stop − start, *shape); the same numbers at every call."""


@dataclass(frozen=True, eq=False)
class TensorRows:
    """Inputs that are in memory: `part` gives views of the tensor (N, *shape)."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.tensor.shape[1:])

    def __len__(self) -> int:
        """Return the number of inputs."""
        return int(self.tensor.shape[0])

    def part(self, start: int, stop: int) -> Tensor:
        """Return a view (stop − start, *shape)."""
        check_range(start, stop, len(self))
        return self.tensor[start:stop]


def check_range(start: int, stop: int, count: int) -> None:
    """Raise an `IndexError` unless 0 ≤ start ≤ stop ≤ count."""
    if not 0 <= start <= stop <= count:
        raise IndexError(f"inputs {start} to {stop} of {count}")


def wastes_memory(tensor: Tensor) -> bool:
    """Return whether a tensor from a file has far more numbers than its file: the strides repeat a few of them."""
    size = tensor.numel() * tensor.element_size()
    return size > _MOST_REPEATED * max(tensor.untyped_storage().nbytes(), _SMALL)
