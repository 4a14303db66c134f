"""Threads of linear algebra: as many as were asked for, and the same bits however many workers have so many."""

import os
import sys

import cloudpickle
import pytest
import torch
from threadpoolctl import threadpool_info

from resnet_diffeo_probe.analysis.measuring.executors import InProcesses, InThreads
from resnet_diffeo_probe.analysis.measuring.pair import BegunPair
from resnet_diffeo_probe.analysis.measuring.worker import threads_of_linear_algebra
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.store.fingerprint import conditions_of
from resnet_diffeo_probe.errors import ConfigurationError
from tests.analysis import networks, studied
from tests.analysis.studied import Study, rows

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
two_cores = pytest.mark.skipif(CORES < 2, reason="one core: two threads would only take turns")


def study(threads_per_worker=2):
    """A unit of 800 coordinates: products that threads do share."""
    net = networks.seeded(lambda: networks.Net(networks.Block(8, 0.3), channels=8))
    settings = Settings(
        measures=("sign", "logabsdet", "sigma_min"), threads_per_worker=threads_per_worker, workers=2
    )
    return Study(net, networks.images(2, height=10, width=10), settings=settings)


@pytest.mark.slow
@two_cores
def test_the_same_bits_however_many_workers_have_two_threads_each():
    two = study()
    alone = two.in_threads()
    assert two.in_threads(workers=2) == alone
    if sys.platform != "win32":
        for module in (networks, studied):
            cloudpickle.register_pickle_by_value(module)
        try:
            with InProcesses(two.specification, two.plan, workers=2) as executor:
                assert rows(executor.run(two.tasks())) == alone
        finally:
            for module in (networks, studied):
                cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.parametrize("asked", [1, 2])
def test_a_measurement_has_the_threads_that_were_asked_for(asked, monkeypatch):
    seen = set()
    honest = BegunPair.measure

    def measure(pair):
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        seen.add((torch.get_num_threads(), *blas))
        return honest(pair)

    monkeypatch.setattr(BegunPair, "measure", measure)
    before = torch.get_num_threads()
    wanted = study(asked)
    with InThreads(wanted.discovery, wanted.plan) as executor:
        rows(executor.run(wanted.tasks()))
    assert seen in ({(asked, asked)}, {(asked,)})  # the second: no BLAS but torch's own
    assert torch.get_num_threads() == before


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads_of_linear_algebra(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_workers_share_the_cores_and_the_number_of_threads_is_part_of_what_was_measured():
    assert Settings().threads == CORES
    assert Settings(threads_per_worker=2).threads == max(1, CORES // 2)
    assert Settings(threads_per_worker=10 * CORES).threads == 1
    assert Settings(threads_per_worker=2, workers=3).threads == 3
    with pytest.raises(ConfigurationError, match="0 threads compute nothing"):
        Settings(threads_per_worker=0)
    discovery = study().discovery
    one, two = (conditions_of(discovery, Settings(threads_per_worker=n)) for n in (1, 2))
    assert two.differences(one) == ["threads_per_worker was 1 and is 2"]
    assert conditions_of(discovery, Settings(workers=1)) == conditions_of(discovery, Settings(workers=2))
