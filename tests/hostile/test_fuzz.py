"""A thousand damaged files: each gives a clean error or a sound result, in bounded time and memory.

The session runs in a process of its own, which a crash of a decoder would end. Longer sessions are run by hand; see
`session.py`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

SESSION = Path(__file__).with_name("session.py")
# target → cases, and how many of them at least have to get through to a result: else only the door was tested
CASES = {
    "model": (160, 8),
    "tensor": (250, 25),
    "image": (250, 40),
    "result": (100, 1),
    "page": (12, 12),
    "config": (250, 3),
    "store": (120, 20),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What one session over all kinds of files tells, by kind."""
    keep = tmp_path_factory.mktemp("found")
    wanted = [f"{target}={cases}" for target, (cases, _) in CASES.items()]
    run = subprocess.run(
        [sys.executable, str(SESSION), *wanted, "--seed", "2026", "--keep", str(keep)],
        capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode in {0, 1}, (run.stdout + run.stderr)[-4000:]
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return {line["target"]: line for line in lines}, run


@pytest.mark.slow
@pytest.mark.parametrize("target", CASES)
def test_damaged_files(target, told):
    cases, least = CASES[target]
    by_target, run = told
    outcomes = by_target[target]["outcomes"]
    assert by_target[target]["findings"] == 0, run.stdout[-4000:]
    assert by_target[target]["peak_gib"] < 2
    assert sum(n for name, n in outcomes.items() if not name.startswith("sound ")) == cases
    through = ("loaded", "read", "rendered", "4 limits", "5 limits", "6 limits", "all read", "some read")
    assert sum(n for name, n in outcomes.items() if name.startswith(through)) >= least


@pytest.mark.slow
def test_nothing_speaks_to_the_terminal(told):
    """Decoders in C write their own complaints to standard error; no escape sequence of a file is among them."""
    assert all(c.isprintable() or c in "\n\t" for c in told[1].stderr)


def test_a_finding_is_found(tmp_path):
    """The session itself is not blind: a reader that fails, writes, or takes long is reported."""
    script = f"""
import sys, os, time
sys.path.insert(0, {str(SESSION.parent)!r})
import session
from pathlib import Path
calls = []
def bad(path):
    calls.append(1)
    what = len(calls) % 3
    if what == 0:
        raise KeyError("no clean error")
    if what == 1:
        Path({str(tmp_path / "escaped")!r}).write_text("x")
    return "read"
session.READERS["tensor"] = bad
session.SEEDS["tensor"] = lambda: {{}} | {{"a.npy": b"x" * 300}}
folder = Path({str(tmp_path)!r}) / "cases"
folder.mkdir()
calls.append(1)
outcomes, findings = session.run("tensor", 0, range(6), folder, None)
print(outcomes["FINDING"], sum("KeyError" in f for f in findings), sum("forbidden" in f for f in findings))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.stdout.split() == ["4", "2", "2"], run.stderr


QUICK = ["--count", "1", "--measures", "residual_ratio", "--budget", "quick"]
COMMANDS = {
    "model": ["inspect", "{}"],
    "tensor": ["analyze", "{model}", "--inputs", "{}", *QUICK],
    "image": ["analyze", "{model}", "--inputs", "{}", "--preset", "none", *QUICK],
    "result": ["report", "{}"],
    "config": ["inspect", "--config", "{}", "{model}"],
}


@pytest.fixture(scope="module")
def seeds():
    sys.path.insert(0, str(SESSION.parent))
    try:
        import mutation
        import seeds

        return {target: seeds.SEEDS[target]() for target in COMMANDS}, mutation.mutate
    finally:
        sys.path.remove(str(SESSION.parent))


@pytest.mark.slow
@pytest.mark.parametrize("target", COMMANDS)
def test_the_real_command_ends_without_a_traceback(target, seeds, tmp_path):
    """As a user meets them: an exit code of the list, a message, and nothing of the file's own on the terminal."""
    files, mutate = seeds
    (tmp_path / "model.safetensors").write_bytes(files["model"]["a.safetensors"])
    chance = random.Random(f"{target} 3")  # noqa: S311 - not for secrets
    name = chance.choice(tuple(files[target]))
    path = tmp_path / f"\x1b[31m<b>{name}"
    path.write_bytes(mutate(files[target][name], chance))
    words = [w.format(path, model=tmp_path / "model.safetensors") for w in COMMANDS[target]]
    run = subprocess.run(
        [sys.executable, "-m", "diffeo_probe", *words],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
    )  # fmt: skip
    assert run.returncode in {0, 2, 3}, run.stderr
    assert "Traceback" not in run.stderr
    assert run.returncode == 0 or "error [" in run.stderr or "Error:" in run.stderr
    assert "\x1b" not in run.stdout + run.stderr
