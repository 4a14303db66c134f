"""What Ctrl-C does to a run: the first one is announced, the second one leaves."""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffeo_probe.running.run_record import Log
    from resnet_diffeo_probe.analysis.measuring.interrupt import Stop

__all__ = ["patient_stop"]

_INTERRUPTED = 130
_SHOW_CURSOR = "\x1b[?25h"


def patient_stop(log: Log) -> Stop:
    """Return a stop that tells the user what an interrupt does, and that leaves the process at the second one."""
    from resnet_diffeo_probe.analysis.measuring.interrupt import Stop

    def heard() -> None:
        _say("interrupted: finishing what is in progress; Ctrl-C again stops at once")

    def leave() -> None:
        _say("stopped at once: what is finished is kept, --resume goes on")
        log.line("stopped at once by a second interrupt")
        for child in multiprocessing.active_children():
            child.kill()
        # threads in the middle of a long call cannot be ended in another way, and nothing is left to be saved
        os._exit(_INTERRUPTED)

    return Stop(heard=heard, at_once=leave)


def _say(text: str) -> None:
    # in a signal handler: what is buffered may be in the middle of being written
    ends = (_SHOW_CURSOR, "\r\n") if sys.stderr.isatty() else ("", "\n")
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{ends[0]}{text}{ends[1]}".encode())
