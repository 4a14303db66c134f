"""The main job on real weights: ResNet-20 and four CIFAR-10 images, from the command to the report."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from diffeo_probe.main import cli

from resnet_diffeo_probe.analysis.result.schema import read_result
from tests.cli.output_folder import FILES

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
ORACLE = SHARED / "fixtures" / "resnet20_oracle.json"
WEIGHTS = SHARED / "data" / "weights" / "resnet20-12fca82f.th"
IMAGES = SHARED / "data" / "cifar10"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and IMAGES.is_dir()),
    reason="the real weights and images are not beside this checkout (../shared)",
)

IDENTITY = ["layer1.0", "layer1.1", "layer1.2", "layer2.1", "layer2.2", "layer3.1", "layer3.2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The command of the README on a few images; its output, its result and its folder."""
    folder = tmp_path_factory.mktemp("resnet20") / "out"
    before = WEIGHTS.read_bytes()
    outcome = CliRunner().invoke(
        cli,
        ["analyze", str(WEIGHTS), "--inputs", str(IMAGES), "--mean", "0.485,0.456,0.406",
         "--std", "0.229,0.224,0.225", "--size", "32", "-n", "4", "--budget", "quick", "--out", str(folder)],
        standalone_mode=False,
    )  # fmt: skip
    assert outcome.exception is None, outcome.output
    assert WEIGHTS.read_bytes() == before
    return outcome, read_result(folder / "result.json"), folder


def test_it_is_done_and_says_what_it_found(run):
    outcome, result, folder = run
    assert outcome.return_value == 0
    correct = result["inputs"]["accuracy"]
    assert correct["total"] == 4
    assert correct["correct"] >= 3  # the right preprocessing: a wrong one shows here
    assert f"accuracy on these inputs: {correct['correct']} of 4" in outcome.stdout
    for name in IDENTITY:
        assert name in outcome.stdout
    assert str(folder / "report.html") in outcome.stdout
    assert "measurements" in outcome.stderr
    assert "measurements" not in outcome.stdout


def test_the_folder_holds_the_report_the_result_and_the_table(run):
    _, _, folder = run
    assert sorted(path.name for path in folder.iterdir()) == FILES
    with (folder / "units.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 9
    assert "layer3.2" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_model_and_its_units(run):
    _, result, _ = run
    assert result["model"]["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert result["model"]["architecture_assumed"] is True
    assert result["model"]["parameters"] == 269_722
    states = {unit["name"]: unit["status"] for unit in result["units"]}
    assert states == dict.fromkeys(IDENTITY, "complete") | dict.fromkeys(
        ["layer2.0", "layer3.0"], "not_applicable"
    )
    assert {unit["name"]: unit["dimension"] for unit in result["units"]}["layer3.2"] == 4096


def test_inputs_are_evenly_spaced_and_named_by_their_relative_paths(run):
    _, result, _ = run
    paths = sorted(path.relative_to(IMAGES).as_posix() for path in IMAGES.glob("*/*.*"))
    assert result["inputs"]["names"] == [paths[i * len(paths) // 4] for i in range(4)]
    assert len({name.split("/")[0] for name in result["inputs"]["names"]}) == 4
    assert result["inputs"]["shape"] == [3, 32, 32]
    assert result["inputs"]["preprocessing"]["mean"] == [0.485, 0.456, 0.406]


def test_the_verdicts_follow_from_the_signs(run):
    _, result, _ = run
    signs = {name: [] for name in IDENTITY}
    for row in result["measurements"]:
        if row["quantity"] == "sign" and row["unit"] in signs:
            assert row["status"] == "ok"
            signs[row["unit"]].append(row["value"])
    assert {len(found) for found in signs.values()} == {4}
    for verdict in result["verdicts"]:
        if verdict["unit"] not in signs:
            continue
        found = signs[verdict["unit"]]
        if verdict["map"] == "unit":  # every unit of this network clips
            assert verdict["state"] == "not_injective_proven"
            continue
        both = {1, -1} <= set(found)
        assert verdict["state"] == ("not_injective_proven" if both else "no_violation_found")
        assert verdict["counts"]["negative"] == found.count(-1)
        assert verdict["counts"]["positive"] == found.count(1)
        if both:
            assert "orthant" in verdict["domain"]  # inputs come out of a ReLU
    proven = [n for n, found in signs.items() if {1, -1} <= set(found)]
    assert len(proven) >= 3


@pytest.mark.skipif(not ORACLE.is_file(), reason="the oracle is not beside this checkout (../shared)")
def test_the_rows_agree_with_the_oracle(run):
    _, result, _ = run
    rows = {(row["unit"], row["input"], row["quantity"]): row["value"] for row in result["measurements"]}
    known = [row for row in json.loads(ORACLE.read_text()) if row["image"] in result["inputs"]["names"]]
    assert len(known) >= 7
    for row in known:
        where = row["unit"], row["image"]
        assert rows[(*where, "sign")] == row["sign"]
        assert abs(rows[(*where, "logabsdet")] - row["logabsdet"]) <= 1e-7 * max(1, abs(row["logabsdet"]))
        assert rows[(*where, "clipped_fraction")] == row["clipped_fraction"]
