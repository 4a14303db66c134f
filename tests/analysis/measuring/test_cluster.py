"""A real cluster of processes: the same bits, and no task lost with a worker."""

import os
import signal
import sys

import cloudpickle
import pytest

from resnet_diffeo_probe.analysis.measuring.specification import ModelFile
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.finding import Status
from tests.analysis import networks, studied
from tests.analysis.local_cluster import local_cluster
from tests.analysis.studied import Study, Treacherous, rows
from tests.analysis.waiting import lives, wait_until

dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")
distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    # the library's own sockets and processes when workers are killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

from resnet_diffeo_probe.analysis.measuring.executors import cluster as room  # noqa: E402
from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _by_value():
    """Workers cannot import tests: what is defined here is sent along."""
    for module in (networks, studied):
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in (networks, studied):
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def cluster():
    """Two single-threaded processes on the loopback, without a dashboard."""
    with (
        dask.config.set(
            {"distributed.scheduler.allowed-failures": 2, "distributed.comm.timeouts.tcp": "120s"}
        ),
        local_cluster(2, processes=True) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def study():
    net = networks.seeded(lambda: networks.Net(networks.Block(2), networks.Block(2, 0.3)))
    return Study(net, networks.images(8))


def working(cluster):
    """Return the identifiers of processes that the scheduler knows: one that is being replaced is not among them."""
    known = list(cluster.scheduler.workers)
    nannies = [nanny for nanny in cluster.workers.values() if nanny.worker_address in known]
    return [nanny.pid for nanny in nannies if nanny.pid is not None and lives(nanny.pid)]


@pytest.mark.slow
def test_a_cluster_finds_to_the_bit_what_threads_find(study, cluster):
    alone = study.in_threads()
    with OnDask(cluster.scheduler_address, study.specification, study.plan) as executor:
        assert rows(executor.run(study.tasks())) == alone
    told = []
    with OnDask(cluster.scheduler_address, study.specification, study.plan, tell=told.append) as executor:
        assert rows(executor.run(list(study.tasks())[::-1])) == alone
    (slow,) = told
    assert "workers with MALLOC_TRIM_THRESHOLD_" in slow


@pytest.mark.slow
def test_workers_killed_in_mid_run_have_their_tasks_done_elsewhere(study, cluster):
    good, found = study.in_threads(), {}
    with OnDask(cluster.scheduler_address, study.specification, study.plan) as executor:
        for index, outcome in enumerate(executor.run(study.tasks())):
            found[outcome.unit, outcome.input] = outcome.findings, outcome.nonnegative
            if index in (2, 7):
                os.kill(wait_until(lambda: working(cluster))[0], signal.SIGKILL)
    assert found == good


@pytest.mark.slow
def test_a_task_over_which_workers_die_is_a_row_and_the_run_goes_on(study, cluster):
    names = ["good", "is killed", "gives NaN", "also good"]
    s, first = study.specification, study.units[0]
    treacherous = Treacherous(s.model, s.example, s.settings, s.units)
    with OnDask(cluster.scheduler_address, treacherous, study.plan) as executor:
        found = rows(executor.run(study.tasks(names)))
    good = study.in_threads(names)
    sign = found[first, "is killed"][0]["sign"]
    assert (sign.value, sign.status) == (None, Status.NOT_RUN)
    assert sign.reason == "3 workers died while they measured it"
    assert found[first, "gives NaN"][0]["sign"].value is None
    spoiled = {(first, "is killed"), (first, "gives NaN")}
    assert {p: row for p, row in found.items() if p not in spoiled} == {
        p: row for p, row in good.items() if p not in spoiled
    }


def test_tasks_are_pulled_as_they_are_needed_and_stop_yields_what_was_handed_out(study, cluster):
    pulled = []

    def counted():
        for task in study.tasks():
            pulled.append((task.unit, task.input))
            yield task

    with OnDask(cluster.scheduler_address, study.specification, study.plan) as executor:
        outcomes = executor.run(counted())
        first = next(outcomes)
        assert len(pulled) <= 2
        executor.stop()
        rest = list(outcomes)
    assert {(o.unit, o.input) for o in [first, *rest]} == set(pulled)


def test_the_file_travels_and_its_workers_need_no_disk_of_ours(tmp_path, cluster):
    import torch
    from torchvision.models.resnet import BasicBlock

    from resnet_diffeo_probe.models import load

    path = tmp_path / "block.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), BasicBlock(4, 4)).eval(), path)
    loaded = load(path, trust_pickle=True)
    study = Study(
        loaded.module, networks.images(2), model=ModelFile.of(loaded, trust_pickle=True, travels=True)
    )
    path.unlink()
    with OnDask(cluster.scheduler_address, study.specification, study.plan) as executor:
        assert rows(executor.run(study.tasks())) == study.in_threads()


def test_workers_that_are_all_too_full_to_begin_end_the_run(study, monkeypatch):
    monkeypatch.setattr(room, "_PAUSED", 1.0)
    with local_cluster(processes=False, protocol="tcp://", memory_limit="64GiB") as full:
        (worker,) = full.workers.values()
        with OnDask(full.scheduler_address, study.specification, study.plan) as executor:
            worker.memory_manager.memory_pause_fraction = 1e-6
            wait_until(lambda: worker.status.name == "paused")
            with pytest.raises(ConfigurationError, match="memory is nearly full"):
                rows(executor.run(study.tasks()))


def test_what_cannot_work_is_said(study, cluster):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        pytest.raises(ConfigurationError, match="cannot be reached"),
        OnDask("tls://127.0.0.1:9", study.specification, study.plan),
    ):
        pass
    s = study.specification
    stranger = type(s)(s.model, s.example, s.settings, ("another",))
    with (
        OnDask(cluster.scheduler_address, stranger, study.plan) as executor,
        pytest.raises(ConfigurationError, match="other units"),
    ):
        rows(executor.run(study.tasks()))
