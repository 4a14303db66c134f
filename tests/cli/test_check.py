"""`diffeo-probe check`: lines, JSON and exit codes on stored analyses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.result.schema import read_result, write_result

GALLERY = Path(__file__).parents[2] / "reports"


@pytest.fixture(scope="module")
def stored():
    return GALLERY / "resnet20" / "result.json"


def test_one_line_for_each_unit_and_broken_rule(typed, stored, tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text('min_sigma_min = 1e-5\n[units."layer3.*"]\nmin_sigma_min = 1e-9\n')
    outcome = typed("check", stored, "--thresholds", limits)
    assert outcome.exit_code == 1
    proven = {
        v["unit"] for v in read_result(stored)["verdicts"]
        if v["unit"] is not None and v["map"] == "sum" and v["state"] == "not_injective_proven"
    }  # fmt: skip
    lines = outcome.stdout.splitlines()
    assert {line.split()[0] for line in lines if "[violation]" in line} == proven
    beyond = [line for line in lines if "[min_sigma_min]" in line]
    rows = {
        row["unit"] for row in read_result(stored)["measurements"]
        if row["quantity"] == "sigma_min" and row["value"] is not None
        and row["value"] < (1e-9 if row["unit"].startswith("layer3") else 1e-5)
    }  # fmt: skip
    assert rows
    assert {line.split()[0] for line in beyond} == rows
    assert all("is below 1e-05" in line for line in beyond)
    assert "gate tripped by" in outcome.stderr


@pytest.mark.parametrize(("gate", "code"), [("never", 0), ("error", 0), ("violation", 1), ("uncertified", 1)])
def test_gates(typed, stored, gate, code):
    outcome = typed("check", stored.parent, "--fail-on", gate)
    assert outcome.exit_code == code
    assert bool(outcome.stdout) == bool(code)


def test_json_says_what_the_lines_say(typed, stored):
    lines = typed("check", stored).stdout.splitlines()
    outcome = typed("check", stored, "--json")
    assert outcome.exit_code == 1
    report = json.loads(outcome.stdout)
    assert (report["exit_code"], report["fail_on"]) == (1, "violation")
    assert [rule["unit"] for rule in report["tripped"]] == [line.split()[0] for line in lines]


def test_the_limits_that_the_analysis_was_made_with_hold(typed, stored, tmp_path):
    result = read_result(stored)
    entry = {
        "key": "max_residual_ratio", "quantity": "residual_ratio", "statistic": "largest", "bound": "max",
        "value": 0.1, "units": None, "origin": "set by the thresholds file", "set_by": "file",
    }  # fmt: skip
    result["thresholds"] = [entry]
    write_result(result, tmp_path / "result.json")
    outcome = typed("check", tmp_path, "--fail-on", "error")
    assert outcome.exit_code == 1
    assert "is above 0.1 [max_residual_ratio]" in outcome.stdout
    (tmp_path / "none.toml").write_text("")
    assert (
        typed("check", tmp_path, "--fail-on", "error", "--thresholds", tmp_path / "none.toml").exit_code == 0
    )


def test_units_that_were_not_run_are_partial(typed, stored, tmp_path):
    result = read_result(stored)
    unit = result["units"][0]
    unit.update(status="not_run", reason="out of memory \x1b[2J", done=0)
    write_result(result, tmp_path / "result.json")
    assert typed("check", tmp_path, "--fail-on", "never").exit_code == 4
    outcome = typed("check", tmp_path, "--fail-on", "error")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith(f"{unit['name']}  status not_run [error]: out of memory")
    assert "\x1b" not in outcome.output


def test_steps_that_were_not_finished_are_told(typed, stored, tmp_path):
    result = read_result(stored)
    result["left_out"] = ["proofs"]
    write_result(result, tmp_path / "result.json")
    assert typed("check", tmp_path, "--fail-on", "never").exit_code == 4
    outcome = typed("check", tmp_path, "--fail-on", "error")
    assert outcome.exit_code == 1
    assert outcome.stdout == "the analysis  steps left_out [error]: not finished: proofs\n"
    assert "by 0 of 9 units" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.json"], 3, "cannot be read"),
        ([], 2, "RESULT"),
        (["--fail-on", "violations"], 2, "'violations'"),
        (["--thresholds", "nowhere.toml"], 2, "does not exist"),
        (["--treshold", "x"], 2, "--thresholds"),
    ],
)
def test_slips(typed, stored, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    given = words if not words or not words[0].startswith("--") else [stored, *words]
    outcome = typed("check", *given)
    assert outcome.exit_code == code
    assert said in outcome.stderr
    assert outcome.stdout == ""


def test_limits_for_units_that_are_not_there(typed, stored, tmp_path):
    (tmp_path / "t.toml").write_text('[units."layer9.*"]\nmin_sigma_min = 1')
    outcome = typed("check", stored, "--thresholds", tmp_path / "t.toml")
    assert outcome.exit_code == 2
    assert "layer9.*" in outcome.stderr


def test_nothing_heavy_is_loaded(stored):
    program = (
        "import sys\nfrom diffeo_probe.main import main\n"
        f"sys.argv = ['diffeo-probe', 'check', {str(stored)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'jinja2', 'captum'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
