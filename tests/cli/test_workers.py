"""Who measures, by the options: and that it makes no difference to the numbers."""

from types import SimpleNamespace

import pytest
import torch
import torchvision
from diffeo_probe.running.workers import Workforce, executor_for

from resnet_diffeo_probe.analysis.measuring.executors import choice
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.demo import demo_paths
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

DEMO = demo_paths()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--scheduler", "tcp://localhost:1", "--slurm", "2"], "--scheduler and --slurm are given together"),
        (["--slurm", "2", "--unit-timeout", "3"], "--unit-timeout and --slurm are given together"),
        (["--slurm-queue", "fast"], "--slurm-queue has no effect without --slurm"),
        (["--unit-timeout", "0"], "unit-timeout"),
    ],
)
def test_options_that_contradict_each_other(typed, words, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = typed(
        "analyze", DEMO.model, "--inputs", DEMO.inputs, "-n", 1, "--mean", "0.3", "--std", "0.4", *words
    )
    assert outcome.exit_code == 2
    assert problem in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def chosen(workers, gigaflops, **asked):
    """The kind of executor for a plan that is expected to take so much."""
    loaded = load(DEMO.model)
    batch = read_inputs("synthetic", count=2, preprocessing=Preprocessing(), shape=loaded.input_shape)
    discovery = discover(loaded.module, batch.part(0, 1)).to(dtype=torch.float64)
    plan = make_plan(discovery, Settings(budget=Budget.QUICK, workers=workers))
    for unit_plan in plan.units:
        unit_plan.about["expected_gigaflops"] = gigaflops
    told = []
    make = executor_for(
        Workforce(workers=workers, **asked), loaded, batch, arch=None, trust_pickle=False, tell=told.append
    )
    return type(make(discovery, prepared(plan))).__name__, told


def test_processes_where_they_pay_or_a_measurement_must_be_ended():
    assert chosen(2, 1.0) == ("InThreads", [])
    assert chosen(None, 1e6) == ("InThreads", [])
    assert chosen(1, 1e6) == ("InThreads", [])
    kind, told = chosen(2, 1e6)
    assert kind == "InProcesses"
    assert "2 processes" in told[0]
    kind, told = chosen(1, 1.0, unit_timeout=5.0)
    assert kind == "InProcesses"
    assert "can be ended" in told[0]


def test_a_gpu_takes_batches_in_this_process(monkeypatch):
    # as if there were one: nothing is computed here
    monkeypatch.setattr(choice, "compute_device", lambda name: torch.device("cuda"))
    for workers, gigaflops in ((None, 1.0), (2, 1e6)):
        assert chosen(workers, gigaflops) == ("OnDevice", [])
    assert chosen(2, 1.0, unit_timeout=5.0)[0] == "InProcesses"


def test_slurm_gets_what_was_asked_for(monkeypatch):
    cluster = pytest.importorskip(
        "resnet_diffeo_probe.analysis.measuring.executors.cluster", reason="the extra [cluster]"
    )
    slurm = pytest.importorskip(
        "resnet_diffeo_probe.analysis.measuring.executors.slurm", reason="the extra [cluster]"
    )
    asked = []
    monkeypatch.setattr(slurm, "slurm_cluster", asked.append)
    monkeypatch.setattr(cluster, "OnDask", lambda *_, **options: SimpleNamespace(**options))
    asked_for = {"slurm_cores": 4, "slurm_walltime": "02:00:00", "slurm_queue": "fast"}
    kind, told = chosen(None, 1.0, slurm=3, threads_per_worker=2, **asked_for)
    assert kind == "SimpleNamespace"
    words = {"walltime": "02:00:00", "queue": "fast"}
    assert asked == [slurm.SlurmJobs(jobs=3, cores=4, threads_per_worker=2, **words)]
    assert "3 Slurm jobs" in told[0]


@pytest.mark.slow
def test_in_processes_the_numbers_are_the_same(typed, tmp_path):
    words = ["analyze", DEMO.model, "--inputs", DEMO.inputs, "-n", 2, "--mean", "0.3", "--std", "0.4"]
    words += ["--budget", "quick", "--workers", 2]
    assert typed(*words, "--out", tmp_path / "threads").exit_code == 0
    outcome = typed(*words, "--unit-timeout", 100, "--out", tmp_path / "processes")
    assert outcome.exit_code == 0, outcome.output
    a, b = (read_result(tmp_path / name / "result.json") for name in ("threads", "processes"))
    assert a["measurements"] == b["measurements"]
    assert a["verdicts"] == b["verdicts"]
    assert b["tool"]["configuration"]["unit_timeout"] == 100


@pytest.mark.slow
def test_what_takes_too_long_is_a_row_and_the_run_is_partial(typed, tmp_path):
    # 16,384 dimensions take seconds on one core, whatever the machine: ten times the limit and more
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    words = [
        "analyze",
        tmp_path / "resnet18.pth",
        "-n",
        1,
        "--size",
        64,
        "--preset",
        "imagenet",
        "--workers",
        1,
    ]
    words += ["--units", "layer1.*", "--measures", "sign,sigma_min,sigma_max,leftmost_real_eigenvalue"]
    outcome = typed(*words, "--unit-timeout", 0.1, "--out", tmp_path / "out")
    assert outcome.exit_code == 4, outcome.output
    rows = read_result(tmp_path / "out" / "result.json")["measurements"]
    assert any(row["status"] == "not_run" and "(--unit-timeout)" in (row.get("reason") or "") for row in rows)
    assert "(--unit-timeout)" in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")


def test_threads_of_a_worker_are_recorded_and_change_what_may_be_reused(typed, tmp_path):
    words = ["analyze", DEMO.model, "--inputs", DEMO.inputs, "-n", 1, "--mean", "0.3", "--std", "0.4"]
    words += ["--measures", "sign", "--out", tmp_path / "out"]
    outcome = typed(*words, "--threads-per-worker", 2, "--workers", 1)
    assert outcome.exit_code == 0, outcome.output
    configuration = read_result(tmp_path / "out" / "result.json")["tool"]["configuration"]
    assert (configuration["threads_per_worker"], configuration["workers"]) == (2, 1)
    assert "threads_per_worker = 2" in (tmp_path / "out" / "run.toml").read_text(encoding="utf-8")
    again = typed(*words, "--resume")
    assert again.exit_code == 0, again.output
    assert "threads_per_worker was 2 and is 1" in again.stderr


def test_a_workforce_is_taken_out_of_the_options():
    options = {**Workforce(workers=3).__dict__, "seed": 1}
    assert Workforce.taken_from(options) == Workforce(workers=3)
    assert options == {"seed": 1}
    with pytest.raises(ConfigurationError):
        Workforce(slurm_memory=2.0)
