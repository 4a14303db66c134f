"""Workers share the memory: what is computed exactly, and every bit of it, is the same however many there are."""

import sys
import threading

import cloudpickle
import pytest

from resnet_diffeo_probe.analysis.measuring.executors import InProcesses, InThreads
from resnet_diffeo_probe.analysis.measuring.pair import BegunPair
from resnet_diffeo_probe.analysis.measuring.worker import Worker
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.finding import Evidence, Status
from tests.analysis import networks, studied
from tests.analysis.local_cluster import local_cluster
from tests.analysis.studied import QUANTITIES, Study, rows
from tests.analysis.waiting import PATIENCE


@pytest.fixture(scope="module", autouse=True)
def _by_value():
    """Workers cannot import tests: what is defined here is sent along."""
    for module in (networks, studied):
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in (networks, studied):
        cloudpickle.unregister_pickle_by_value(module)


def study(max_bytes=None):
    def net():
        blocks = (networks.Block(2), networks.Wider(2), networks.Block(4, 0.3), networks.Block(4, 0.3))
        return networks.Net(*blocks, width=4)

    return Study(
        networks.seeded(net),
        networks.images(6),
        settings=Settings(workers=2, measures=QUANTITIES, max_bytes=max_bytes),
    )


@pytest.fixture(scope="module")
def needs():
    """What every pair needs where there is enough."""
    ample = study()
    worker = Worker(ample.discovery, ample.plan)
    found = {(task.unit, task.input): worker.begin(task).needs for task in ample.tasks()}
    return {pair: need for pair, need in found.items() if need > 0}


@pytest.fixture
def scarce(needs):
    """A limit at which the largest pair fits, and half of which would not do."""
    return study(max_bytes=1.1 * max(needs.values()))


def exact(found):
    return {pair for pair, (findings, _) in found.items() if findings["sign"].value is not None}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_exact_does_not_depend_on_how_many_work(scarce, needs, workers):
    alone = scarce.in_threads()
    assert exact(alone) == set(needs)
    with InThreads(scarce.discovery, scarce.plan, workers=workers) as executor:
        assert rows(executor.run(scarce.tasks())) == alone
    assert max(needs.values()) <= executor.admission.peak <= executor.admission.limit
    assert executor.admission.held == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
def test_nor_in_processes(scarce, needs):
    with InProcesses(scarce.specification, scarce.plan, workers=2) as executor:
        assert rows(executor.run(scarce.tasks())) == scarce.in_threads()
    assert max(needs.values()) <= executor.admission.peak <= executor.admission.limit
    assert executor.admission.held == 0


# the library's own sockets
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nor_in_the_threads_of_a_dask_worker(scarce, needs):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask

    with local_cluster(threads_per_worker=2, processes=False, protocol="tcp://") as cluster:
        (worker,) = cluster.workers.values()
        with OnDask(cluster.scheduler_address, scarce.specification, scarce.plan) as executor:
            assert rows(executor.run(scarce.tasks())) == scarce.in_threads()
            admission = worker.plugins[executor._run]._admission
    assert max(needs.values()) <= admission.peak <= admission.limit
    assert admission.limit == int(scarce.plan.settings.memory)
    assert admission.held == 0


def test_what_does_not_fit_is_estimated_whoever_works(needs):
    little = study(max_bytes=0.2 * max(needs.values()))
    alone = little.in_threads()
    assert 0 < len(exact(alone)) < len(needs)
    for findings, _ in (alone[pair] for pair in set(needs) - exact(alone)):
        assert findings["sign"].status is Status.NOT_RUN
        assert "--workers" not in findings["sign"].reason
        assert findings["logabsdet"].evidence is Evidence.ESTIMATED
    for workers in (2, 5):
        assert little.in_threads(workers=workers) == alone


def test_who_is_in_work_together_never_needs_more_than_there_is(scarce, needs, monkeypatch):
    """Counted where the work is done, not where it is admitted; and all of it is done, the large beside the small."""
    lock, now, together, company = threading.Lock(), {}, [], threading.Event()
    honest = BegunPair.measure

    def measure(pair):
        with lock:
            now[pair] = pair.needs
            together.append(sum(now.values()))
            if len(now) > 1:
                company.set()
        # the first one is small and waits for another beside it; a large one may well be alone later
        assert company.wait(PATIENCE), "nobody was let in beside the first one"
        try:
            return honest(pair)
        finally:
            with lock:
                del now[pair]

    monkeypatch.setattr(BegunPair, "measure", measure)
    large = max(needs, key=needs.get)[0]
    tasks = [task for task in scarce.tasks() if task.unit != large]
    # the large ones come while all workers are busy with small ones
    for place, task in enumerate(task for task in scarce.tasks() if task.unit == large):
        tasks.insert(3 * place + 2, task)
    with InThreads(scarce.discovery, scarce.plan, workers=5) as executor:
        found = rows(executor.run(tasks))
    assert exact(found) == set(needs)
    assert len(found) == len(tasks)
    assert max(together) <= scarce.plan.settings.memory


def test_a_stop_and_a_failure_give_back_what_they_held(scarce, monkeypatch):
    with InThreads(scarce.discovery, scarce.plan, workers=5) as executor:
        outcomes = executor.run(scarce.tasks())
        next(outcomes)
        executor.stop()
        rest = list(outcomes)
    assert executor.admission.held == 0
    assert len(rest) < 10

    def broken(_pair):
        raise ZeroDivisionError("not the unit's fault")

    monkeypatch.setattr(BegunPair, "measure", broken)
    with InThreads(scarce.discovery, scarce.plan, workers=2) as executor, pytest.raises(ZeroDivisionError):
        rows(executor.run(scarce.tasks()))
    assert executor.admission.held == 0
