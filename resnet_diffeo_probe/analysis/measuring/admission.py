"""Memory that workers share: whoever is about to factorise waits until there is room."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Admission", "NotAdmittedError"]

# Seconds between looks at whether who waits is still wanted: a signal handler, which takes no locks, wakes nobody.
_LOOK = 0.2


class NotAdmittedError(Exception):
    """Whoever waited for room is not wanted any more."""


def _never() -> bool:
    return False


class Admission:
    """Bytes that several threads share, admitted in the order in which they ask.

    Nobody overtakes who asked before, so that one who needs nearly everything is not put off for ever by many who need
    little. Who holds bytes asks for no more, so that nobody waits for himself.

    Args:
        limit: bytes that all together may hold.

    Attributes:
        limit: likewise, whole bytes.
        held: bytes held now.
        peak: the most that were held at any time.
    """

    def __init__(self, limit: float) -> None:
        self.limit = int(limit)
        self.held = self.peak = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def admit(self, needed: float, *, given_up: Callable[[], bool] = _never) -> Iterator[None]:
        """Wait until there is room, and hold it within the block.

        Args:
            needed: bytes; who needs more than the limit is admitted alone.
            given_up: whether waiting has become pointless; asked now and then.

        Raises:
            NotAdmittedError: it was given up before there was room.
        """
        share = min(math.ceil(needed), self.limit)
        self._wait_for(share, given_up)
        try:
            yield
        finally:
            with self._changed:
                self.held -= share
                self._changed.notify_all()

    def _wait_for(self, share: int, given_up: Callable[[], bool]) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self.held + share > self.limit:
                    if given_up():
                        raise NotAdmittedError
                    self._changed.wait(_LOOK)
                self.held += share
                self.peak = max(self.peak, self.held)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()  # whoever is first now may have room
