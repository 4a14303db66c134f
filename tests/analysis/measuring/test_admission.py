"""Memory shared by workers: never more than there is, and everybody's turn comes."""

import threading
import time

import numpy as np
import pytest

from resnet_diffeo_probe.analysis.measuring.admission import Admission, NotAdmittedError
from tests.analysis.waiting import PATIENCE, wait_until


def test_no_more_is_held_than_there_is_and_all_of_it_is_given_back():
    admission, rng = Admission(100), np.random.default_rng(3)
    most, now, lock = 0, 0, threading.Lock()

    def hold(sizes):
        nonlocal most, now
        for size in sizes:
            with admission.admit(size):
                with lock:
                    now += min(size, 100)
                    most = max(most, now)
                time.sleep(0.0005)
                with lock:
                    now -= min(size, 100)

    threads = [
        threading.Thread(target=hold, args=(rng.choice([0, 10, 35, 70, 100, 250], 40).tolist(),))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert 70 < most <= 100
    assert (admission.held, admission.peak) == (0, most)


def test_one_who_needs_nearly_all_is_not_overtaken_by_many_who_need_little():
    admission = Admission(100)
    order, ended = [], threading.Event()

    def little():
        while not ended.is_set():
            with admission.admit(30):
                order.append("little")
                time.sleep(0.001)

    crowd = [threading.Thread(target=little) for _ in range(3)]
    for thread in crowd:
        thread.start()
    wait_until(lambda: len(order) > 10)
    with admission.admit(95):
        order.append("much")
        assert admission.held == 95
    after = len(order)
    wait_until(lambda: len(order) > after + 10)  # and they go on
    ended.set()
    for thread in crowd:
        thread.join(PATIENCE)
    assert order.count("much") == 1
    assert admission.held == 0


def test_what_is_held_is_given_back_after_an_error_and_who_gives_up_leaves_the_queue():
    admission, given_up, ends = Admission(10), threading.Event(), []
    with pytest.raises(ZeroDivisionError), admission.admit(7):
        raise ZeroDivisionError
    assert admission.held == 0

    def wait_in_vain():
        with pytest.raises(NotAdmittedError), admission.admit(5, given_up=given_up.is_set):
            pass
        ends.append("gave up")

    def wait_behind():
        with admission.admit(4):
            ends.append("admitted")

    with admission.admit(6):
        first = threading.Thread(target=wait_in_vain)
        first.start()
        wait_until(lambda: len(admission._waiting) == 1)
        second = threading.Thread(target=wait_behind)
        second.start()
        wait_until(lambda: len(admission._waiting) == 2)
        assert ends == []  # there is room for the second, but it came later
        given_up.set()
        first.join(PATIENCE)
        second.join(PATIENCE)
    assert ends == ["gave up", "admitted"]
    assert (admission.held, admission.peak) == (0, 10)


def test_who_needs_more_than_there_is_works_alone():
    admission = Admission(10.7)
    with admission.admit(float(2**80)):
        assert admission.held == admission.limit == 10
        with pytest.raises(NotAdmittedError), admission.admit(1, given_up=lambda: True):
            pass
