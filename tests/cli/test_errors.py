"""What a user sees after a slip or with a damaged file: one message, a next step, an exit code, nothing left over."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from resnet_diffeo_probe.demo import demo_paths

from .one_message import check

DEMO = demo_paths()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a good model, good images, and one of everything that goes wrong."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(DEMO.model, folder / "digits.safetensors")
    weights = load_weights(DEMO.model)
    torch.save(weights, folder / "digits.pt")
    raw = (folder / "digits.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(raw[: len(raw) // 2])
    (folder / "empty.pt").write_bytes(b"")
    (folder / "notes.pt").write_text("weights are in the other folder\n")
    (folder / "page.pt").write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    broken = {name: value.clone() for name, value in weights.items()}
    broken["layer1.1.conv2.weight"][1, 2, 0, 1] = float("nan")
    torch.save(broken, folder / "nan.pt")
    torch.save({f"encoder.{i}.weight": torch.zeros(2, 2) for i in range(9)}, folder / "unknown.pt")
    torch.save(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), folder / "pickled.pt")
    (folder / "images").mkdir()
    for source in sorted(DEMO.inputs.glob("*/0.png"))[:3]:
        shutil.copy(source, folder / "images" / f"{source.parent.name}.png")
    (folder / "no-images").mkdir()
    (folder / "no-images" / "readme.txt").write_text("nothing here")
    torch.save(torch.zeros(2, 3, 8, 8), folder / "colour.pt")
    torch.save(torch.zeros(2, 1, 5, 8), folder / "small.pt")
    torch.save(torch.full((1, 1, 8, 8), float("nan")), folder / "nan-inputs.pt")
    return folder


def load_weights(path):
    from safetensors.torch import load_file

    return load_file(path)


MODEL_FILES = [
    ("digit.safetensors", 3, ["does not exist", "did you mean", "digits.safetensors"]),
    ("nowhere/at/all.pt", 3, ["does not exist", "there is no folder"]),
    ("empty.pt", 3, ["empty", "0 bytes"]),
    ("notes.pt", 3, ["text file", "weights are in the other folder"]),
    ("page.pt", 3, ["web page"]),
    ("truncated.pt", 3, ["cut off or damaged"]),
    ("nan.pt", 3, ["layer1.1.conv2.weight", "1 of"]),
    ("unknown.pt", 3, ["without an architecture", "4.weight", "--arch"]),
    ("pickled.pt", 3, ["--trust-pickle", "Conv2d"]),
    ("images", 3, ["is a folder"]),
]


@pytest.mark.parametrize("command", ["analyze", "inspect"])
@pytest.mark.parametrize(("name", "code", "said"), MODEL_FILES, ids=[name for name, *_ in MODEL_FILES])
def test_a_model_that_cannot_be_used(typed, files, tmp_path, command, name, code, said):
    where = ["--out", str(tmp_path / "made" / "out")] if command == "analyze" else []
    check(typed(command, files / name, *where), code, *said)
    assert list(tmp_path.iterdir()) == []


def test_the_first_five_keys_that_do_not_match_are_shown(typed, files):
    outcome = typed("analyze", files / "digits.pt", "--arch", "resnet18")
    check(outcome, 3, "do not fit", "resnet18")
    assert re.search(r"missing: (\S+, ){4}\S+ and \d+ more", outcome.stderr)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--arch", "resnet81"], 2, ["resnet81", "did you mean --arch resnet18"]),
        (["--arch", "no_such_package.models:build"], 2, ["no_such_package"]),
        (["--preset", "mnits"], 2, ["no preset is called 'mnits'", "--preset mnist"]),
        (["--measures", "sigma_mni"], 2, ["no measure 'sigma_mni'", "did you mean sigma_min"]),
        (["--measures", ","], 2, ["no measure ''", "--measures"]),
        (["--budget", "quik"], 2, ["quick"]),
        (["--dtype", "float16"], 2, ["float64"]),
        (["--fail-on", "violations"], 2, ["violation"]),
        (["--units", "layer1.0", "--units", "layr2.1"], 2, ["'layr2.1' matches none", "--units 'layer2.1'"]),
        (["--mean", "0.5"], 2, ["--mean is given without --std"]),
        (["--std", "0.5"], 2, ["--std is given without --mean"]),
        (["--mean", "0.5", "--std", "0.2", "--preset", "mnist"], 2, ["together with --preset"]),
        (["--mean", "0.5", "--std", "0"], 2, ["standard deviation", "above zero"]),
        (["--mean", "a,b", "--std", "0.2"], 2, ["not a list of numbers"]),
        (["--size", "big"], 2, ["'big' is not a size such as 32"]),
        (["--size", "0"], 2, ["'0' is not a size"]),
        (["--size", "8x8x8"], 2, ["not a size"]),
        (["-n", "0"], 2, ["x>=1"]),
        (["--workers", "0"], 2, ["x>=1"]),
        (["--max-memory", "0"], 2, ["x>0"]),
        (["--max-memory", "nan"], 2, ["--max-memory 8"]),
        (["--seed", "-1"], 2, ["seed of -1"]),
        (["--inptus", "x"], 2, ["--inptus", "--inputs"]),
        (["another.pt"], 2, ["unexpected extra argument"]),
        (["--inputs", "imagse"], 3, ["imagse does not exist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_option_that_makes_no_sense(typed, files, tmp_path, options, code, said):
    check(typed("analyze", files / "digits.safetensors", *options, "--out", tmp_path / "out"), code, *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        ("imges", [], ["does not exist", "images"]),
        ("no-images", [], ["no image that can be read", "readme.txt"]),
        ("notes.pt", [], ["is a text file, not a tensor"]),
        ("colour.pt", [], ["[3, 8, 8]", "[1, 8, 8]"]),
        ("small.pt", [], ["[1, 5, 8]"]),
        ("nan-inputs.pt", [], ["NaN"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_inputs_that_cannot_be_used(typed, files, tmp_path, inputs, options, said):
    outcome = typed(
        "analyze",
        files / "digits.safetensors",
        "--inputs",
        files / inputs,
        *options,
        "--out",
        tmp_path / "out",
    )
    check(outcome, 3, *said)
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_than_the_model_takes(typed, files, tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("RGB", (11, 9), (200, 10, 10)).save(tmp_path / "images" / "a.png")
    where = ["--inputs", tmp_path / "images", "--out", tmp_path / "out"]
    check(typed("analyze", files / "digits.safetensors", *where), 3, "9×11", "8×8", "--size 8")
    assert not (tmp_path / "out").exists()
    # with the size given, and colours for a grey model, it runs and says that they were made grey
    outcome = typed(
        "analyze", files / "digits.safetensors", *where, "--size", "8", "--measures", "residual_ratio"
    )
    assert outcome.exit_code == 0, outcome.output
    assert "grey" in outcome.stderr


def test_a_mean_for_other_channels(typed, files, tmp_path):
    outcome = typed(
        "analyze", files / "digits.safetensors", "--inputs", files / "images", "--mean", "0.1,0.2,0.3",
        "--std", "1,1,1", "--out", tmp_path / "out",
    )  # fmt: skip
    check(outcome, 2, "3 numbers", "1 channel")
    assert not (tmp_path / "out").exists()


def plain_network():
    """A network for `--arch module:factory` that adds nothing."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return torch.cat([x, torch.relu(self.conv1(x))], 1)

    return Joined()


def test_no_residual_unit_names_the_nearest_misses(typed, tmp_path, monkeypatch):
    (tmp_path / "my_joined.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Joined(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.conv1 = nn.Conv2d(1, 1, 3, padding=1)\n\n"
        "    def forward(self, x):\n        return torch.cat([x, torch.relu(self.conv1(x))], 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    save_file(plain_network().state_dict(), tmp_path / "joined.safetensors", {"input_shape": "1,6,6"})
    for command in ("analyze", "inspect"):
        where = ["--out", tmp_path / "out"] if command == "analyze" else []
        outcome = typed(command, tmp_path / "joined.safetensors", "--arch", "my_joined:Joined", *where)
        check(outcome, 3, "no residual unit", "torch.cat, not an addition")
    assert not (tmp_path / "out").exists()


def test_a_trusted_pickle_is_opened(typed, files):
    outcome = typed("inspect", files / "pickled.pt", "--trust-pickle", "--channels", "1", "--size", "8")
    check(outcome, 3, "no residual unit")


def test_a_trusted_pickle_needs_a_shape(typed, files):
    check(typed("inspect", files / "pickled.pt", "--trust-pickle"), 3, "--channels 3 --size 224")


@pytest.mark.parametrize("size", ["2", "1"])
def test_a_size_too_small_for_the_network_is_the_users_mistake_or_works(typed, files, tmp_path, size):
    outcome = typed(
        "analyze",
        files / "digits.safetensors",
        "--size",
        size,
        "-n",
        "1",
        "--measures",
        "sign",
        "--out",
        tmp_path / "out",
    )
    assert outcome.exit_code in (0, 3, 4), outcome.output
    assert "Traceback" not in outcome.stderr


class TestOutputFolder:
    """--out: refused before anything is computed."""

    def test_a_file_in_its_place(self, typed, files, tmp_path):
        (tmp_path / "taken").write_text("mine")
        for out in ("taken", "taken/deeper"):
            outcome = typed("analyze", files / "digits.safetensors", "--out", tmp_path / out)
            check(outcome, 3, "cannot be written", "--out")
        assert (tmp_path / "taken").read_text() == "mine"

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that not even root can write")
    def test_a_folder_that_cannot_be_written(self, typed, files):
        check(
            typed("analyze", files / "digits.safetensors", "--out", "/proc/diffeo-probe"),
            3,
            "cannot be written",
        )

    @pytest.mark.parametrize("name", ["report.html", "result.json", "units.csv"])
    def test_a_file_of_our_names_is_not_replaced_unasked(self, typed, files, tmp_path, name):
        (tmp_path / name).write_text("somebody's own")
        check(
            typed("analyze", files / "digits.safetensors", "--out", tmp_path),
            3,
            name,
            "would be replaced",
            "--overwrite",
        )
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_text() == "somebody's own"


def test_a_hostile_name_cannot_repaint_the_terminal(typed, tmp_path):
    name = "evil\x1b[2J\u202e.pt"
    (tmp_path / name).write_bytes(b"")
    outcome = typed("inspect", tmp_path / name)
    check(outcome, 3, "evil\\u001b[2J\\u202e.pt is empty")
    assert "\x1b" not in outcome.output


class TestThresholds:
    """--thresholds of analyze: refused before anything is measured, and stored with the numbers."""

    SMALL = ("--budget", "quick", "-n", "1", "--workers", "1")

    def test_a_pattern_that_matches_no_unit(self, typed, files, tmp_path):
        (tmp_path / "t.toml").write_text('[units."layer9.*"]\nmax_residual_ratio = 1')
        outcome = typed(
            "analyze", files / "digits.safetensors", *self.SMALL, "--thresholds", tmp_path / "t.toml",
            "--out", tmp_path / "out",
        )  # fmt: skip
        check(outcome, 2, "'layer9.*'", "layer1.0")
        assert not (tmp_path / "out").exists()

    def test_the_limit_shown_is_the_limit_used(self, typed, files, tmp_path):
        import json

        (tmp_path / "t.toml").write_text("max_residual_ratio = 0.001\nmax_clipped_fraction = 1\n")
        words = ["analyze", files / "digits.safetensors", *self.SMALL, "--thresholds", tmp_path / "t.toml"]
        outcome = typed(*words, "--fail-on", "error", "--out", tmp_path / "out")
        assert outcome.exit_code == 1, outcome.output
        result = json.loads((tmp_path / "out" / "result.json").read_text())
        stored = {entry["key"]: entry for entry in result["thresholds"]}
        assert (stored["max_residual_ratio"]["value"], stored["max_residual_ratio"]["set_by"]) == (
            0.001,
            "file",
        )
        assert (stored["min_critical_step"]["value"], stored["min_critical_step"]["set_by"]) == (1, "default")
        again = typed("check", tmp_path / "out", "--fail-on", "error")
        assert again.exit_code == 1
        assert all("is above 0.001 [max_residual_ratio]" in line for line in again.stdout.splitlines())
        # without a gate the limits are stored and shown, and the exit code is that of the analysis
        assert typed(*words, "--out", tmp_path / "out", "--overwrite").exit_code == 0
