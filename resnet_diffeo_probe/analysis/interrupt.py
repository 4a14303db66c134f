"""Ctrl-C: once is a request to finish what is in progress, twice is an order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

from resnet_diffeo_probe.errors import InputsError

__all__ = ["Steps", "Stop"]

Result = TypeVar("Result")


def _raise() -> NoReturn:
    raise KeyboardInterrupt


class Stop:
    """What becomes of an interrupt while an analysis runs.

    Args:
        heard: called at the first interrupt while something is being finished, in the signal handler.
        at_once: called at the second interrupt, in the signal handler; by default it raises a `KeyboardInterrupt`.

    Attributes:
        requested: whether there was an interrupt.
    """

    def __init__(
        self, *, heard: Callable[[], None] | None = None, at_once: Callable[[], None] = _raise
    ) -> None:
        self.requested = False
        self._heard = heard
        self._at_once = at_once
        self._finish: Callable[[], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle interrupts within the block; afterwards as before. In another thread than the main one: nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            # None: the handler before was not installed by Python, and cannot be put back by it
            signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)

    @contextmanager
    def finishing(self, finish: Callable[[], None]) -> Iterator[None]:
        """Within the block the first interrupt calls `finish`; elsewhere it raises a `KeyboardInterrupt`."""
        self._finish = finish
        try:
            if self.requested:
                finish()
            yield
        finally:
            self._finish = None

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            self._at_once()
            return
        self.requested = True
        if self._finish is None:
            raise KeyboardInterrupt
        if self._heard is not None:
            self._heard()
        self._finish()


class Steps:
    """What follows the measuring: an interrupt leaves out the step that it comes in and all after it.

    A step that reads an input that went away is left out alone.

    Args:
        interrupted: whether the measuring was, so that no step is taken.

    Attributes:
        left_out: the steps that were wanted and not finished, in words.
        interrupted: whether there was an interrupt so far.
    """

    def __init__(self, *, interrupted: bool) -> None:
        self.left_out: list[str] = []
        self.interrupted = interrupted

    def take(
        self, what: str, compute: Callable[[], Result], otherwise: Result, *, wanted: bool = True
    ) -> Result:
        """Return what a step gives, or something else where it is not wanted or was left out."""
        if not wanted:
            return otherwise
        if not self.interrupted:
            try:
                return compute()
            except KeyboardInterrupt:
                self.interrupted = True
            except InputsError as error:
                what = f"{what} ({error.what})"
        self.left_out.append(what)
        return otherwise
