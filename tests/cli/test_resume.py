"""Runs that end before their time: killed, interrupted, out of disk. What was measured is there; --resume goes on."""

import os
import time
import tomllib

import numpy as np
import pytest

from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.demo import demo_paths

from .started_runs import canonical, committed, held, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

DEMO = demo_paths()
WORDS = ["analyze", DEMO.model, "--workers", "1", "--budget", "quick", "--size", "16", "--inputs"]
COUNT = 24
UNITS = 6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Noise; a determinant there takes milliseconds."""
    path = tmp_path_factory.mktemp("inputs") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(COUNT, 1, 16, 16)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def whole(server, inputs, tmp_path_factory):
    """The result of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    run = server.start([*WORDS, inputs, "--out", folder / "out"], folder / "screen")
    assert run.wait() == 0, run.screen
    return canonical(folder / "out" / "result.json")


@pytest.fixture
def run(server, inputs, tmp_path):
    """Start a run in the folder `out`."""

    def start(*words, **options):
        return server.start(
            [*WORDS, inputs, "--out", tmp_path / "out", *words], tmp_path / "screen", **options
        )

    return start


@pytest.fixture
def gate(tmp_path):
    """A file, and the statements that hold a run while it is there."""
    path = tmp_path / "gate"
    path.touch()

    return path, lambda count: held("keep", count, path)


@pytest.mark.slow
def test_ten_kills_at_random_moments_and_the_result_of_a_run_that_nothing_happened_to(
    run, whole, gate, tmp_path
):
    rng, out, seen, lost = np.random.default_rng(7), tmp_path / "out", [], 0
    for _ in range(10):
        before = committed(out)
        # ten times fourteen rows are not all of them
        started = run(*(["--resume"] if before else []), before=gate[1](14))
        until(lambda before=before: committed(out) > before)
        time.sleep(rng.uniform(0, 0.15))
        started.kill()
        assert started.wait() == -9, started.screen
        seen.append(committed(out))
        lost += not (out / "result.json").exists()
    assert seen == sorted(set(seen)), "every run added to what was there, and none lost anything"
    assert seen[-1] < COUNT * UNITS, "the last was killed before its end too"
    assert lost == 10
    last = run("--resume")
    assert last.wait() == 0, last.screen
    assert f"note: {seen[-1]} measurements (units × inputs) were there" in last.screen
    assert canonical(out / "result.json") == whole


@pytest.mark.slow
def test_an_interrupt_writes_what_there_is_and_the_run_goes_on_later(run, whole, gate, tmp_path):
    out = tmp_path / "out"
    started = run(before=gate[1](20))
    until(lambda: committed(out) >= 20)
    started.interrupt()
    until(lambda: "finishing what is" in started.screen)
    gate[0].unlink()
    assert started.wait() == 130, started.screen
    assert "finishing what is in progress" in started.screen
    assert "--resume goes on" in started.screen
    there = committed(out)
    partial = read_result(out / "result.json")
    assert sum(unit["done"] for unit in partial["units"]) == there - partial_not_applicable(partial)
    assert any(unit["reason"] == "the run was interrupted" for unit in partial["units"])
    assert (out / "report.html").is_file()
    assert "interrupted: exit code 130" in (out / "log.txt").read_text(encoding="utf-8")
    resumed = run("--resume")
    assert resumed.wait() == 0, resumed.screen
    assert f"note: {there} measurements" in resumed.screen
    assert canonical(out / "result.json") == whole


@pytest.mark.slow
def test_processes_finish_at_an_interrupt_and_end_with_a_run_that_is_killed(run, whole, gate, tmp_path):
    out = tmp_path / "out"
    killed = run("--unit-timeout", "100", before=gate[1](3))
    until(lambda: committed(out) >= 3)
    killed.kill()
    assert killed.wait() == -9
    before = committed(out)
    interrupted = run("--unit-timeout", "100", "--resume", before=gate[1](3))
    until(lambda: committed(out) >= before + 3)
    interrupted.interrupt()
    until(lambda: "finishing what is" in interrupted.screen)
    gate[0].unlink()
    assert interrupted.wait() == 130, interrupted.screen
    assert "Traceback" not in interrupted.screen
    assert read_result(out / "result.json")["units"]
    # threads go on with what processes began
    last = run("--resume")
    assert last.wait() == 0, last.screen
    assert canonical(out / "result.json") == whole


def partial_not_applicable(result):
    """Pairs of units without a determinant: measured, but not counted as done."""
    names = {unit["name"] for unit in result["units"] if unit["status"] == "not_applicable"}
    return len({(r["unit"], r["input"]) for r in result["measurements"] if r["unit"] in names})


# The sixth measurement lasts for as long as a file is there, which no test takes away: only a run that does not wait
# for it ends. One that waits is ended by its alarm, with another exit code.
_ENDLESS = """
import pathlib, time
from resnet_diffeo_probe.analysis.measuring import worker
begin, count = worker.BegunPair, 0
def endless(*args):
    global count
    count += 1
    while count > 5 and pathlib.Path({gate!r}).exists():
        time.sleep(0.01)
    return begin(*args)
worker.BegunPair = endless
"""


def endless(gate):
    """The statements that make the sixth measurement of a run last while a file is there."""
    return f"exec({_ENDLESS.format(gate=str(gate))!r}, globals())"


@pytest.mark.slow
def test_two_interrupts_leave_at_once_and_lose_nothing_committed(run, whole, gate, tmp_path):
    out = tmp_path / "out"
    started = run(before=endless(gate[0]))
    until(lambda: committed(out) == 5)
    started.interrupt()
    until(lambda: "finishing what is" in started.screen)
    started.interrupt()
    assert started.wait() == 130, started.screen
    assert gate[0].exists(), "it left while a measurement was in progress"
    assert "stopped at once" in started.screen
    assert committed(out) == 5
    assert not (out / "result.json").exists()
    resumed = run("--resume")
    assert resumed.wait() == 0, resumed.screen
    assert canonical(out / "result.json") == whole


@pytest.mark.slow
def test_a_second_run_in_the_folder_of_one_that_works_is_refused(run, gate, tmp_path):
    out = tmp_path / "out"
    first = run(before=endless(gate[0]))
    until(lambda: committed(out) == 5)
    log = (out / "log.txt").read_bytes()
    for words in (["--resume"], ["--overwrite"]):
        second = run(*words)
        assert second.wait() == 3, second.screen
        assert "error [folder-in-use]: another diffeo-probe is at work" in second.screen
    assert committed(out) == 5
    assert (out / "log.txt").read_bytes() == log
    first.kill()
    assert first.wait() == -9


# no file may grow beyond this: what a write meets on a full disk, without needing one
FULL = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " + (
    "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_a_clear_error_and_keeps_the_rows(run, whole, tmp_path):
    out = tmp_path / "out"
    started = run(before=FULL)
    assert started.wait() == 3, started.screen
    assert "error [disk-full]" in started.screen
    assert "--resume" in started.screen
    assert "Traceback" not in started.screen
    there = committed(out)
    assert 0 < there < COUNT * UNITS
    resumed = run("--resume")
    assert resumed.wait() == 0, resumed.screen
    assert f"note: {there} measurements" in resumed.screen
    assert canonical(out / "result.json") == whole


@pytest.mark.slow
def test_what_is_stale_says_why_and_what_is_not_is_reused(run, whole, inputs, tmp_path):
    out = tmp_path / "out"
    # three units of that name; the one that has no determinant says so wherever it is
    first = run("--units", "layer1.*")
    assert first.wait() == 0, first.screen
    other = run("--resume", "--seed", "3")
    assert other.wait() == 0, other.screen
    assert "cannot be used, and all is measured again: seed was 0 and is 3" in other.screen
    assert f"note: 0 measurements (units × inputs) were there; {COUNT * UNITS} new" in other.screen
    again = run("--resume")
    assert again.wait() == 0, again.screen
    assert f"note: {4 * COUNT} measurements (units × inputs) were there; {2 * COUNT} new" in again.screen
    assert canonical(out / "result.json") == whole
    changed = np.load(inputs)
    changed[2] += 1
    np.save(tmp_path / "x.npy", changed)
    last = run("--resume", "--inputs", tmp_path / "x.npy")
    assert last.wait() == 0, last.screen
    assert f"{UNITS} measured again because the input of that name is another one now" in last.screen


@pytest.mark.slow
def test_run_toml_makes_the_same_run_again(server, run, whole, tmp_path):
    assert run().wait() == 0
    options = tomllib.loads((tmp_path / "out" / "run.toml").read_text(encoding="utf-8"))
    assert options["budget"] == "quick"
    assert options["workers"] == 1
    assert "trust_pickle" not in options
    again = ["analyze", "--config", tmp_path / "out" / "run.toml", "--out", tmp_path / "again"]
    assert server.start(again, tmp_path / "screen").wait() == 0
    assert canonical(tmp_path / "again" / "result.json") == whole


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--resume", "--overwrite", "--out", "new"], 2, "given together"),
        (["--resume"], 2, "--out with the folder"),
        (["--resume", "--out", "new"], 3, "nothing to go on with"),
    ],
)
def test_resume_without_anything_to_go_on_with(typed, words, code, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = typed("analyze", DEMO.model, *words)
    assert outcome.exit_code == code
    assert problem in outcome.stderr
    assert list(tmp_path.iterdir()) == []
