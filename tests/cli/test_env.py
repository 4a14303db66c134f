"""`diffeo-probe env` and `completion`."""

import json
import os
import subprocess
import sys

import pytest

from resnet_diffeo_probe import __version__


def test_lines_and_json_say_the_same(typed, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1\x1b[2J")
    found = json.loads(typed("env", "--json").stdout)
    lines = typed("env").stdout
    assert found["diffeo_probe"] == __version__
    assert found["variables"]["OMP_NUM_THREADS"] == "1\x1b[2J"
    assert "\x1b" not in lines
    for name, version in found["libraries"].items():
        assert f"{name} " in lines
        assert version is not None, name
    import torch

    assert found["libraries"]["torch"] in torch.__version__
    assert found["cores"]["usable"] >= 1
    assert found["memory_gib"] > 0
    assert found["devices"][0].startswith("cpu")
    assert (
        any("openblas" in pool or "mkl" in pool for pool in found["linear_algebra"])
        or found["linear_algebra"]
    )


def test_a_library_that_cannot_be_imported_is_a_line(tmp_path):
    (tmp_path / "torch.py").write_text("print('noise')\nraise OSError('libcudart.so.13: cannot open')\n")
    done = subprocess.run(
        [sys.executable, "-m", "diffeo_probe", "env"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "devices: cannot be found out: OSError: libcudart.so.13: cannot open" in done.stdout
    assert "noise" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(typed, shell):
    outcome = typed("completion", shell)
    assert outcome.exit_code == 0
    assert f"_DIFFEO_PROBE_COMPLETE={shell}_complete" in outcome.stdout


def test_an_unknown_shell(typed):
    outcome = typed("completion", "tcsh")
    assert outcome.exit_code == 2
    assert "bash" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "position", "offered"),
    [
        ("diffeo-probe ch", 1, ["plain,check"]),
        ("diffeo-probe check --fail-on vi", 3, ["plain,violation"]),
        ("diffeo-probe analyze --thre", 2, ["plain,--threads-per-worker", "plain,--thresholds"]),
        ("diffeo-probe analyze mod", 2, ["file,mod"]),
        ("diffeo-probe spirals train ", 3, ["plain,a", "plain,b", "plain,c", "plain,d"]),
    ],
)
def test_what_is_completed(monkeypatch, words, position, offered):
    # a file of options, or a variable that is wrong, must not break completion
    monkeypatch.setenv("DIFFEO_PROBE_ANALYZE_BUDGTE", "1")
    program = (
        "import sys; sys.argv = ['diffeo-probe']\n"
        "from diffeo_probe.main import cli\n"
        "cli.main(prog_name='diffeo-probe', complete_var='_DIFFEO_PROBE_COMPLETE')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False,
        env=os.environ | {
            "_DIFFEO_PROBE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position),
        },
    )  # fmt: skip
    assert done.stdout.splitlines() == offered, done.stderr
