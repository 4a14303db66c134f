"""What Ctrl-C does to the steps after the measuring, and to work in threads."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from resnet_diffeo_probe.analysis.measuring.finishing import finish_each
from resnet_diffeo_probe.analysis.measuring.interrupt import Steps, Stop, Unfinished


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_leaves_out_the_step_that_it_comes_in_and_all_after_it() -> None:
    stop = Stop()
    steps = Steps(stop, interrupted=False)
    with stop.listening(), stop.finishing(lambda: None):
        assert steps.take("first", lambda: 1, 0) == 1
        assert steps.take("second", press, None) is None
        assert steps.take("not wanted", press, None, wanted=False) is None
        assert steps.take("third", lambda: 3, 0) == 0
    assert steps.left_out == ["second", "third"]
    assert steps.interrupted and stop.requested and not stop.ordered


def test_an_interrupt_between_two_steps_is_not_lost() -> None:
    stop = Stop()
    steps = Steps(stop, interrupted=False)
    with stop.listening(), stop.finishing(lambda: None):
        assert steps.take("first", lambda: 1, 0) == 1
        press()  # raises nothing: nothing that was computed is in danger
        assert steps.take("second", lambda: 2, 0) == 0
    assert steps.left_out == ["second"]


def test_a_step_that_was_ended_early_gives_what_it_finished() -> None:
    def early() -> list[int]:
        raise Unfinished([1, 2])

    steps = Steps(Stop(), interrupted=False)
    assert steps.take("early", early, list[int]()) == [1, 2]
    assert steps.left_out == ["early"]
    assert steps.interrupted


def test_the_second_interrupt_goes_through_a_step() -> None:
    def twice() -> None:
        try:
            press()
        finally:
            press()

    stop = Stop()
    steps = Steps(stop, interrupted=False)
    with stop.listening(), stop.finishing(lambda: None), pytest.raises(KeyboardInterrupt):
        steps.take("step", twice, None)
    assert stop.ordered


def test_all_jobs_are_finished_and_given_in_the_calling_thread() -> None:
    found: dict[int, int] = {}
    here = threading.get_ident()

    def done(pair: tuple[int, int]) -> None:
        assert threading.get_ident() == here
        found.update([pair])

    assert finish_each(range(20), lambda i: (i, i * i), done, threads=3, stop=Stop())
    assert found == {i: i * i for i in range(20)}


def test_an_interrupt_lets_what_is_in_progress_finish_and_begins_nothing() -> None:
    begun, found, gate = [], [], threading.Event()

    def work(job: int) -> int:
        begun.append(job)
        if job == 1:  # another thread than the one that hears of it
            os.kill(os.getpid(), signal.SIGINT)
            assert gate.wait(60)
        return job

    stop = Stop(heard=gate.set)
    with stop.listening():
        assert not finish_each(range(50), work, found.append, threads=1, stop=stop)
    # the signal is heard of while the second job runs
    assert found == begun == [0, 1]


def test_an_error_in_a_job_is_the_callers() -> None:
    def work(job: int) -> float:
        return 1 / job

    with pytest.raises(ZeroDivisionError):
        finish_each([1, 0], work, lambda _: None, threads=2, stop=Stop())
