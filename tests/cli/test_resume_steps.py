"""Runs that end in what follows the measuring: the parts that were done are there, and are taken by the next run."""

import os
import sqlite3
import time

import numpy as np
import pytest

from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.demo import demo_paths

from .started_runs import canonical, committed, held, stored, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

UNITS = 2
COUNT = 1
# the unit that has no determinant says so wherever it is
PAIRS = (UNITS + 1) * COUNT
WORDS = ["analyze", demo_paths().model, "--workers", "1", "--units", "layer1.[01]", "--size", "8", "--inputs"]


def parts(folder):
    """The committed parts of steps, in the order in which they were committed."""
    return stored(folder, "SELECT step, part FROM steps ORDER BY rowid")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(COUNT, 1, 8, 8)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def whole(server, inputs, tmp_path_factory):
    """The result of a run that nothing happened to, and the parts that it committed."""
    folder = tmp_path_factory.mktemp("whole")
    run = server.start([*WORDS, inputs, "--out", folder / "out"], folder / "screen")
    assert run.wait() == 0, run.screen
    return canonical(folder / "out" / "result.json"), parts(folder / "out")


@pytest.fixture
def run(server, inputs, tmp_path):
    """Start a run in the folder `out` that waits after some parts, if that is asked for."""
    gate = tmp_path / "gate"
    gate.touch()

    def start(*words, after=None):
        before = "" if after is None else held("keep_step", after, gate)
        words = [*WORDS, inputs, "--out", tmp_path / "out", *words]
        return server.start(words, tmp_path / "screen", before=before)

    return start


@pytest.mark.slow
def test_kills_at_random_moments_after_the_measuring_lose_no_part(run, whole, tmp_path):
    rng, out, done = np.random.default_rng(11), tmp_path / "out", [0]
    result, all_parts = whole
    while done[-1] + 2 < len(all_parts):
        started = run(*(["--resume"] if done[-1] else []), after=2)
        until(lambda: len(parts(out)) > done[-1])
        time.sleep(rng.uniform(0, 0.3))
        started.kill()
        assert started.wait() == -9, started.screen
        assert committed(out) == PAIRS, "everything was measured before"
        assert not (out / "result.json").exists()
        there = parts(out)
        assert there == all_parts[: len(there)], "what was there is there, and nothing was computed twice"
        done.append(len(there))
    assert done[1] <= UNITS, "the first run was killed among the proofs"
    assert len(done) >= 4, "the others among what follows them"
    last = run("--resume")
    assert last.wait() == 0, last.screen
    assert canonical(out / "result.json") == result
    assert parts(out) == all_parts
    log = (out / "log.txt").read_text(encoding="utf-8").rpartition("--resume")[2]
    assert log.count("taken from the earlier run\n") == done[-1]
    assert f"layer1.{UNITS - 1}: proofs taken from the earlier run" in last.screen
    assert f"taken from the earlier run: proofs ({UNITS}), " in last.screen
    assert "computed again" not in last.screen
    # another program's hand in what was kept is noticed, and nothing else is computed again
    connection = sqlite3.connect(out / "measurements.sqlite")
    with connection:
        connection.execute("UPDATE steps SET content = content || ' ' WHERE part = 'layer1.0'")
    connection.close()
    mended = run("--resume")
    assert mended.wait() == 0, mended.screen
    assert "computed again, log.txt says why: proofs (1)" in mended.screen
    changed = "proofs, layer1.0: computed again: it was changed by another program, or is damaged"
    assert changed in (out / "log.txt").read_text(encoding="utf-8")
    assert canonical(out / "result.json") == result


@pytest.mark.slow
def test_an_interrupt_among_the_proofs_writes_those_that_are_done(run, whole, tmp_path):
    out = tmp_path / "out"
    started = run(after=1)
    until(lambda: len(parts(out)) == 1)
    started.interrupt()
    until(lambda: "finishing what is in progress" in started.screen)
    (tmp_path / "gate").unlink()
    assert started.wait() == 130, started.screen
    assert "Traceback" not in started.screen
    # the first is committed, the second may have been begun
    there = [part for step, part in parts(out) if step == "proofs"]
    assert there in (["layer1.0"], ["layer1.0", "layer1.1"])
    left_out = ["refinement test", "attribution", "pictures"]
    partial = read_result(out / "result.json")
    assert {entry["unit"] for entry in partial["certificates"]} == set(there)
    assert {entry["unit"] for entry in partial["witnesses"]} <= set(there)
    assert partial["left_out"] == [*(["proofs"] if len(there) < UNITS else []), *left_out]
    assert (out / "report.html").is_file()
    assert f"without {', '.join(partial['left_out'])}" in started.screen
    resumed = run("--resume")
    assert resumed.wait() == 0, resumed.screen
    assert canonical(out / "result.json") == whole[0]


@pytest.mark.slow
def test_two_interrupts_among_the_proofs_leave_at_once_and_keep_what_was_committed(run, tmp_path):
    out = tmp_path / "out"
    started = run(after=1)
    until(lambda: len(parts(out)) == 1)
    started.interrupt()
    until(lambda: "finishing what is in progress" in started.screen)
    started.interrupt()
    assert started.wait() == 130, started.screen
    assert "stopped at once" in started.screen
    assert parts(out) == [("proofs", "layer1.0")]
    assert not (out / "result.json").exists()
