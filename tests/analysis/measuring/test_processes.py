"""Processes of this machine: the same bits, and a fault that stays with its pair."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import cloudpickle
import pytest
import torch

from resnet_diffeo_probe.analysis.measuring.executors import InProcesses, processes
from resnet_diffeo_probe.analysis.measuring.specification import ModelFile
from resnet_diffeo_probe.errors import ConfigurationError, LoadError
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.models import load
from tests.analysis import networks, studied
from tests.analysis.studied import Study, Treacherous, rows
from tests.analysis.waiting import PATIENCE, wait_until, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture(scope="module", autouse=True)
def _by_value():
    """Workers cannot import tests: what is defined here is sent along."""
    for module in (networks, studied):
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in (networks, studied):
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def study():
    net = networks.seeded(lambda: networks.Net(networks.Block(2), networks.Block(2, 0.3)))
    return Study(net, networks.images(8))


def treacherous(study):
    s = study.specification
    return Treacherous(s.model, s.example, s.settings, s.units)


def workers_of(executor):
    return [
        w.pid
        for slot in executor._slots
        if slot._pool
        for w in slot._pool._pool_manager.worker_manager.workers.values()
    ]


def test_processes_find_to_the_bit_what_threads_find_in_any_number(study):
    alone = study.in_threads()
    assert study.in_threads(workers=2) == study.in_threads(workers=3) == alone
    for count in (1, 3):
        with InProcesses(study.specification, study.plan, workers=count) as executor:
            backwards = list(study.tasks())[::-1]
            assert rows(executor.run(backwards)) == alone
            assert len(workers_of(executor)) == count
        assert workers_of(executor) == []


@pytest.mark.slow
def test_every_fault_is_the_row_of_its_pair_alone(study, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_ATTEMPTS", 2)
    names = ["good", "sleeps", "segfaults", "is killed", "allocates", "gives NaN"]
    names.append(f"is killed once:{tmp_path / 'mark'}")
    first = study.units[0]
    # an honest measurement takes milliseconds, and must not be stopped on a machine that does ten other things
    with InProcesses(treacherous(study), study.plan, workers=2, unit_timeout=12) as executor:
        found = rows(executor.run(study.tasks(names)))
    good = study.in_threads(names)
    spoiled = {(first, name) for name in names[1:6]}
    assert {pair: row for pair, row in found.items() if pair not in spoiled} == {
        pair: row for pair, row in good.items() if pair not in spoiled
    }
    sign = {name: found[first, name][0]["sign"] for name in names}
    assert sign["sleeps"].reason == "stopped after 12 s (--unit-timeout)"
    assert sign["segfaults"].reason == "the worker process was killed by SIGSEGV, 2 times"
    assert sign["is killed"].reason == (
        "the worker process was killed by SIGKILL, as happens where memory runs out, 2 times"
    )
    assert processes._end(7) == "ended with exit code 7"
    assert "out of memory" in sign["allocates"].reason
    for name in ("sleeps", "segfaults", "is killed", "allocates"):
        assert sign[name].status is Status.NOT_RUN and sign[name].value is None
    assert sign["gives NaN"].value is None
    assert set(study.plan.settings.quantities) == set(found[first, "sleeps"][0])


def test_workers_killed_from_outside_in_mid_run_are_replaced(study):
    good, found = study.in_threads(), {}
    with InProcesses(study.specification, study.plan, workers=2) as executor:
        for index, outcome in enumerate(executor.run(study.tasks())):
            found[outcome.unit, outcome.input] = outcome.findings, outcome.nonnegative
            if index in (2, 7):
                for pid in workers_of(executor):
                    os.kill(pid, signal.SIGKILL)
    assert found == good


def test_tasks_are_pulled_as_they_are_needed_and_stop_yields_what_was_begun(study):
    pulled = []

    def counted():
        for task in study.tasks():
            pulled.append((task.unit, task.input))
            yield task

    with InProcesses(study.specification, study.plan, workers=2) as executor:
        outcomes = executor.run(counted())
        assert pulled == []
        first = next(outcomes)
        assert len(pulled) <= 3
        executor.stop()
        rest = list(outcomes)
    assert {(o.unit, o.input) for o in [first, *rest]} <= set(pulled)
    assert len(pulled) <= 4


def test_leaving_ends_a_measurement_that_would_take_minutes(study):
    left = []
    with InProcesses(treacherous(study), study.plan, workers=1) as executor:
        outcomes = executor.run(study.tasks(["good", "sleeps"]))
        for _ in study.units:
            next(outcomes)
        pids = workers_of(executor)
        rest = threading.Thread(target=lambda: left.extend(outcomes), daemon=True)
        rest.start()
        wait_until(lambda: executor._slots[0]._future.running())  # noqa: PLW0108 - the slot is given another one
    rest.join(PATIENCE)  # the measurement would take twice as long
    assert not rest.is_alive()
    assert left == []
    wait_until_gone(pids)


def test_a_file_that_changed_is_not_loaded(tmp_path, study):
    path = tmp_path / "net.pth"
    torch.save(study.net.state_dict(), path)
    factory = f"{networks.__name__}:Net"
    model = ModelFile(path, "0" * 64, factory)
    with pytest.raises(LoadError, match="not the file that the analysis began with"):
        model.module()


def test_a_trusted_pickle_is_loaded_by_a_worker_only_with_the_same_consent(tmp_path):
    from torchvision.models.resnet import BasicBlock

    path = tmp_path / "block.pth"
    torch.manual_seed(0)
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), BasicBlock(4, 4)).eval(), path)
    loaded = load(path, trust_pickle=True)
    trusted = ModelFile.of(loaded, trust_pickle=True)
    study = Study(loaded.module, networks.images(1), model=trusted)
    with InProcesses(study.specification, study.plan, workers=1) as executor:
        assert rows(executor.run(study.tasks())) == study.in_threads()
    refused = Study(loaded.module, networks.images(1), model=ModelFile.of(loaded, travels=True))
    with (
        InProcesses(refused.specification, refused.plan, workers=1) as executor,
        pytest.raises(LoadError, match="pickle"),
    ):
        rows(executor.run(refused.tasks()))


def test_what_cannot_be_sent_is_said_before_anything_starts(study):
    net = networks.seeded(lambda: networks.Net(networks.Block(2)))
    net.lock = threading.Lock()
    with pytest.raises(ConfigurationError, match="cannot be sent to another process"):
        InProcesses(Study(net, networks.images(1)).specification, study.plan)
    with pytest.raises(ConfigurationError, match="nothing is measured in 0 s"):
        InProcesses(study.specification, study.plan, unit_timeout=0)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(networks.__file__).removesuffix("/tests/analysis/networks.py")!r})
        from tests.analysis import networks
        from tests.analysis.studied import Study
        from resnet_diffeo_probe.analysis.measuring.executors import InProcesses

        if __name__ == "__main__":
            net = networks.seeded(lambda: networks.Net(networks.Block(2)))
            study = Study(net, networks.images(1))
            with InProcesses(study.specification, study.plan, workers=2) as executor:
                for _ in executor.run(study.tasks()):
                    pids = [w for s in executor._slots if s._pool
                            for w in s._pool._pool_manager.worker_manager.workers]
                    print(*pids, flush=True)
                    sys.stdin.read()
        """)
    )
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert pids
    finally:
        parent.kill()
        parent.communicate()
    wait_until_gone(pids)
