"""`diffeo-probe compare`: the lines, the files, and what it refuses."""

import json
from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.result.schema import read_result, write_result

A = Path(__file__).parents[2] / "reports" / "demo" / "result.json"


@pytest.fixture
def changed(tmp_path):
    """The demo's analysis with another verdict, a flipped sign and a larger residual."""
    result = read_result(A)
    for verdict in result["verdicts"]:
        if verdict["unit"] == "layer1.0" and verdict["map"] == "sum":
            verdict["state"] = "no_violation_found"
    flipped = next(
        r
        for r in result["measurements"]
        if r["quantity"] == "sign" and r["unit"] == "layer1.1" and r["status"] == "ok"
    )
    flipped["value"] *= -1
    for each in result["measurements"]:
        if each["unit"] == "layer2.1" and each["quantity"] == "residual_ratio":
            each["value"] += 1
    result["model"]["file"] = "<b>\x1b[2J.pt"
    write_result(result, tmp_path / "result.json")
    return tmp_path, flipped["input"]


def test_lines_name_what_changed(typed, changed):
    folder, flipped = changed
    outcome = typed("compare", A.parent, folder)
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.stdout.splitlines()
    assert "  layer1.0  sum map     not_injective_proven → no_violation_found" in lines
    (flip,) = [line for line in lines if flipped in line]
    assert flip.split()[:4] == ["layer1.1", "1", "of", "32:"]
    (measure,) = [line for line in lines if "residual_ratio" in line]
    assert "32/32" in measure
    assert "\x1b" not in outcome.output


def test_files_are_written_whole(typed, changed, tmp_path):
    folder, _ = changed
    outcome = typed("compare", A, folder, "--json", tmp_path / "c.json", "--html", tmp_path / "c.html")
    assert outcome.exit_code == 0, outcome.output
    comparison = json.loads((tmp_path / "c.json").read_text())
    assert [v["unit"] for v in comparison["verdicts"] if v["changed"]] == ["layer1.0"]
    html = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert html.rstrip().endswith("</html>")
    assert "<b>\x1b" not in html
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.html", "c.json", "result.json"]


def test_other_inputs_are_refused_and_nothing_is_written(typed, tmp_path):
    result = read_result(A)
    result["inputs"]["preprocessing"]["mean"] = [0.9]
    write_result(result, tmp_path / "b.json")
    outcome = typed(
        "compare", A, tmp_path / "b.json", "--html", tmp_path / "c.html", "--json", tmp_path / "c.json"
    )
    assert outcome.exit_code == 3
    assert outcome.stdout == ""
    assert "error [compare-other-inputs]" in outcome.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([A], 2, "'B'"),
        ([A, "nowhere"], 3, "cannot be read"),
        ([A, A, A], 2, "unexpected extra argument"),
        ([A, A, "--html", "/proc/no/c.html"], 3, "cannot be written"),
        ([A, A, "--htlm", "c.html"], 2, "--html"),
    ],
)
def test_slips(typed, words, code, said):
    outcome = typed("compare", *words)
    assert outcome.exit_code == code
    assert said in outcome.stderr
