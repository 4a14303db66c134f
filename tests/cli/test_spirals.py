"""`diffeo-probe spirals`: what it prints, what it refuses, and that a training goes on where it stopped."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from diffeo_probe.commands import spirals as module

from resnet_diffeo_probe.errors import ConfigurationError, LoadError
from resnet_diffeo_probe.flows.training.checkpoint import load_training

SMALL = ["--epochs", "4", "--points", "300", "--steps", "3", "--width", "4"]


def _run(*arguments):
    return CliRunner().invoke(module.spirals, list(arguments), catch_exceptions=False)


def test_no_torch_for_the_help():
    code = (
        "import sys; from diffeo_probe.commands.spirals import spirals; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_train_writes_a_checkpoint_and_one_row_a_seed(tmp_path):
    path = tmp_path / "state.npz"
    result = _run("train", "d", "--seeds", "2", "--seed", "5", "--out", str(path), *SMALL)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["d", "5"], ["d", "6"]]
    assert "epoch 4/4" in result.stderr
    training = load_training(path)
    assert (training.epoch, training.seeds) == (4, (5, 6))


def test_an_interrupted_training_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    _run("train", "c", "--out", str(whole), *SMALL)
    from resnet_diffeo_probe.flows.training import training as training_module

    original, calls = training_module._run_epoch, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(training_module, "_run_epoch", interrupted)
    CliRunner().invoke(module.spirals, ["train", "c", "--out", str(broken), *SMALL])
    assert load_training(broken).epoch == 2
    monkeypatch.undo()
    result = _run("train", "c", "--out", str(broken), *SMALL)
    assert "holds 2 of 4 epochs" in result.stderr
    np.testing.assert_array_equal(load_training(broken).parameters.flat, load_training(whole).parameters.flat)


def test_a_checkpoint_of_another_architecture_is_refused_and_kept(tmp_path):
    path = tmp_path / "state.npz"
    _run("train", "b", "--out", str(path), *SMALL)
    before = path.read_bytes()
    with pytest.raises(LoadError) as problem:
        _run("train", "b", "--out", str(path), "--epochs", "4", "--points", "300", "--steps", "5")
    assert problem.value.code == "checkpoint-mismatch"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "a", "--points", "0"),
        ("train", "a", "--steps", "0"),
        ("train", "a", "--width", "-1"),
        ("train", "a", "--seeds", "0"),
        ("train", "a", "--seed", "-1"),
        ("train", "a", "--setting", "best"),
        ("certify",),
        ("certify", "--network", "a", "--seed", "99"),
        ("certify", "--network", "a", "--radius", "-1"),
        ("flow", "--network", "a", "--checkpoint", "x.npz"),
    ],
    ids=" ".join,
)
def test_impossible_requests_are_errors_of_the_user(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        _run(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_unknown_network_is_a_usage_error():
    assert _run("train", "e").exit_code == 2


def test_certify_prints_the_proof():
    result = _run("certify", "--network", "d", "--seed", "0")
    assert result.stdout.startswith("diffeomorphism onto its image on [-3, 3]^2")
    refuted = json.loads(_run("certify", "--network", "a", "--seed", "1", "--json").stdout)
    assert refuted["verdict"] == "not injective"
    assert len(refuted["witness"]) == 2
    words = _run("certify", "--network", "a", "--seed", "1").stdout
    assert "det J < 0 at" in words


def test_flow_of_a_small_training(tmp_path):
    path = tmp_path / "state.npz"
    _run("train", "b", "--out", str(path), *SMALL)
    result = _run("flow", "--checkpoint", str(path))
    assert result.stdout.splitlines()[0].split()[:3] == ["scheme", "steps", "accuracy"]
    rows = json.loads(_run("flow", "--checkpoint", str(path), "--json").stdout)
    assert {row["scheme"] for row in rows} == {"euler", "midpoint", "rk4", "implicit-midpoint", "adaptive"}
    with pytest.raises(LoadError):
        _run("flow", "--checkpoint", str(tmp_path / "nothing.npz"))
