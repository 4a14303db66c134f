"""Ctrl-C: once is a request to finish what is in progress, twice is an order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, NoReturn, TypeVar

from resnet_diffeo_probe.errors import InputsError

__all__ = ["Steps", "Stop", "Unfinished"]

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
        ordered: whether there was a second one.
    """

    def __init__(
        self, *, heard: Callable[[], None] | None = None, at_once: Callable[[], None] = _raise
    ) -> None:
        self.requested = self.ordered = False
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
        before, self._finish = self._finish, finish
        try:
            if self.requested:
                finish()
            yield
        finally:
            self._finish = before

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Within the block the first interrupt raises a `KeyboardInterrupt`, also inside a block of `finishing`."""
        before, self._finish = self._finish, None
        try:
            yield
        finally:
            self._finish = before

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            self.ordered = True
            self._at_once()
            return
        self.requested = True
        if self._finish is None:
            raise KeyboardInterrupt
        # the request before the words about it: who has heard of it begins nothing more
        self._finish()
        if self._heard is not None:
            self._heard()


class Unfinished(Exception, Generic[Result]):  # noqa: N818 - nothing went wrong
    """A step that an interrupt ended before its time, with what of it was finished."""

    def __init__(self, found: Result) -> None:
        super().__init__("an interrupt ended the step")
        self.found = found


class Steps:
    """What follows the measuring: an interrupt leaves out the step that it comes in and all after it.

    A step that reads an input that went away is left out alone. The second interrupt goes through.

    Args:
        stop: through which interrupts are heard of.
        interrupted: whether the measuring was, so that no step is taken.

    Attributes:
        left_out: the steps that were wanted and not finished, in words.
        interrupted: whether there was an interrupt so far.
    """

    def __init__(self, stop: Stop, *, interrupted: bool) -> None:
        self.left_out: list[str] = []
        self.interrupted = interrupted
        self._stop = stop

    def take(
        self, what: str, compute: Callable[[], Result], otherwise: Result, *, wanted: bool = True
    ) -> Result:
        """Return what a step gives, what it finished, or something else where it is not wanted or was left out."""
        if not wanted:
            return otherwise
        # one that came between two steps
        self.interrupted |= self._stop.requested
        if not self.interrupted:
            try:
                with self._stop.leaving():
                    return compute()
            except KeyboardInterrupt:
                if self._stop.ordered:
                    raise
                self.interrupted = True
            except Unfinished as partly:
                self.interrupted = True
                otherwise = partly.found
            except InputsError as error:
                what = f"{what} ({error.what})"
        self.left_out.append(what)
        return otherwise
