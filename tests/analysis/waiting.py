"""Waiting for what processes do in their own time, which a loaded machine stretches."""

import time

import psutil

# Far beyond what anything here takes on a machine that does ten other things: only what never happens fails.
PATIENCE = 300.0


def wait_until(condition, seconds=PATIENCE):
    """Return what a condition gives once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def lives(pid):
    """Return whether a process runs; one that has ended may still wait to be collected by whoever started it."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids):
    """Wait until none of some processes runs."""
    wait_until(lambda: not any(lives(pid) for pid in pids))
