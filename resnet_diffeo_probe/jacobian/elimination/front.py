"""The part of the matrix that elimination works on: a dense window that slides down the diagonal.

Reference: B. M. Irons, A frontal solution program for finite element analysis, Int. J. Numer. Methods Eng. 2 (1970).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.block_system import (
    BlockSystem,
    front_buffer_side,
    front_members,
    starts_of,
)

__all__ = ["Front"]


class Front:
    """A window in a buffer a few times its size: what is left after a step is already in its place for the next one.

    Args:
        system: the matrix, or several of one shape: then every window has their number in front, (B, side, side).
    """

    def __init__(self, system: BlockSystem) -> None:
        self._sizes, self._system = system.sizes, system
        fronts = (
            sum(self._sizes[j] for j in (i, *members)) for i, members in enumerate(front_members(system))
        )
        side = front_buffer_side(system.order, max(fronts, default=0))
        self._buffer = torch.empty(*system.batch, side, side, dtype=system.dtype, device=system.device)
        self._held: tuple[int, ...] = ()
        self._start = self._kept = 0

    def enter(self, order: Sequence[int], block: int) -> Tensor:
        """Return the window for these blocks with the entries of `block` added; blocks new to it start from zero.

        Args:
            order: all blocks of the front.
            block: the one of them whose row and column of blocks enter now.
        """
        starts = starts_of([self._sizes[j] for j in order])
        size, held = starts[-1], self._held
        if size > self._buffer.shape[-1]:  # a block that could not be eliminated alone is still here
            self._enlarge(size)
        if held != tuple(order[: len(held)]):  # in a band new blocks only come behind
            self._rearrange(order, starts)
        elif self._start + size > self._buffer.shape[-1]:
            self._move_to_corner()
        window = self._window(size)
        window[..., self._kept :, :].zero_()
        window[..., : self._kept, self._kept :].zero_()
        place = {j: slice(starts[k], starts[k + 1]) for k, j in enumerate(order)}
        self._system.add_block(window[..., place[block], place[block]], block, block)
        for j in self._system.coupled[block]:
            self._system.add_block(window[..., place[block], place[j]], block, j)
            self._system.add_block(window[..., place[j], place[block]], j, block)
        self._held, self._kept = tuple(order), size
        return window

    def leave(self, blocks: int) -> None:
        """Drop the first blocks of the window: they are eliminated."""
        gone = sum(self._sizes[j] for j in self._held[:blocks])
        self._held = self._held[blocks:]
        self._start, self._kept = self._start + gone, self._kept - gone

    def _window(self, size: int) -> Tensor:
        return self._buffer[..., self._start : self._start + size, self._start : self._start + size]

    def _move_to_corner(self) -> None:
        """Move what is held to the corner of the buffer, rows first to last in runs that do not overlap."""
        step, kept = self._start, self._kept
        for row in range(0, kept, step):
            stop = min(row + step, kept)
            source = self._buffer[..., row + step : stop + step, step : step + kept]
            self._buffer[..., row:stop, :kept].copy_(source)
        self._start = 0

    def _enlarge(self, side: int) -> None:
        held = self._window(self._kept)
        self._buffer = held.new_empty(*held.shape[:-2], side, side)
        self._buffer[..., : self._kept, : self._kept] = held
        self._start = 0

    def _rearrange(self, order: Sequence[int], starts: Sequence[int]) -> None:
        """Put what is held in another order, zeros between."""
        held = self._window(self._kept).clone()
        self._start, self._kept = 0, starts[-1]
        window = self._window(self._kept)
        window.zero_()
        place = {j: slice(starts[k], starts[k + 1]) for k, j in enumerate(order)}
        at = starts_of([self._sizes[j] for j in self._held])
        for a, j in enumerate(self._held):
            for b, k in enumerate(self._held):
                window[..., place[j], place[k]] = held[..., at[a] : at[a + 1], at[b] : at[b + 1]]
