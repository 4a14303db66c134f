"""The commands when all is well: what they print where, what they write, and with which code they end."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from diffeo_probe.commands.analyze import analyze
from diffeo_probe.running.analysis_options import AnalysisOptions

from resnet_diffeo_probe import __version__
from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.demo import demo_paths

from .output_folder import FILES

DEMO = demo_paths()
SMALL = ["--mean", "0.3", "--std", "0.4", "--budget", "quick", "--workers", "1"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(*words, **options):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "diffeo_probe", *map(str, words)],
        capture_output=True, text=True, check=False, env=ENVIRONMENT, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """An analysis of the demo's network at three digits, made by the command."""
    folder = tmp_path_factory.mktemp("analysed") / "out"
    done = command("analyze", DEMO.model, "--inputs", DEMO.inputs, "-n", 3, *SMALL, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done


COMMANDS = (
    "analyze",
    "inspect",
    "demo",
    "report",
    "check",
    "compare",
    "explain",
    "env",
    "completion",
    "spirals train",
)


@pytest.mark.parametrize(
    "words",
    [
        None,
        "--help",
        "--version",
        "analyse",
        "completion bash",
        *(f"{command} --help" for command in COMMANDS),
    ],
)
def test_help_loads_nothing_heavy(words):
    heavy = "('torch', 'numpy', 'scipy', 'matplotlib', 'jinja2', 'jsonschema', 'rich', 'torchvision', 'captum', 'dask')"
    call = "" if words is None else f"sys.argv = ['diffeo-probe', *{words.split()!r}]; main()"
    program = (
        f"import sys\ntry:\n    from diffeo_probe.main import main; {call}\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
    if words is not None and words.endswith("--help"):
        assert "Usage: diffeo-probe" in done.stdout


def test_help_shows_the_commands_one_a_line_and_the_exit_codes(typed):
    outcome = typed("--help")
    assert outcome.exit_code == 0
    assert "\\b" not in outcome.stdout
    examples = [line for line in outcome.stdout.splitlines() if line.startswith("  diffeo-probe ")]
    assert [line.split()[1] for line in examples] == ["demo", "inspect", "analyze"]
    for code in ("0 done", "2 usage", "3 the input", "4 partial", "70 a bug", "130 interrupted"):
        assert code in outcome.stdout


def test_without_a_command_the_help_is_shown(typed):
    outcome = typed()
    assert outcome.exit_code == 2
    assert "Commands:" in outcome.output


def test_version(typed):
    outcome = typed("--version")
    assert (outcome.exit_code, outcome.stdout) == (0, f"diffeo-probe, version {__version__}\n")


@pytest.mark.parametrize(("slip", "meant"), [("analize", "analyze"), ("--versoin", "--version")])
def test_the_nearest_command_or_option_is_offered(typed, slip, meant):
    outcome = typed(slip)
    assert outcome.exit_code == 2
    assert f"'{meant}'" in outcome.stderr


def test_results_go_to_stdout_and_the_rest_to_stderr(analysed):
    folder, done = analysed
    lines = done.stdout.splitlines()
    assert lines[0].startswith("accuracy on these inputs: 3 of 3")
    units = [line.split()[0] for line in lines if re.match(r"layer\d\.\d ", line)]
    assert units == ["layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.1", "layer2.2"]
    assert lines[-1] == f"report: {folder / 'report.html'}"
    assert "note: " in done.stderr
    assert "note: " not in done.stdout
    # every tenth of the way and the end
    assert "18 of 18 measurements" in done.stderr
    assert 2 <= done.stderr.count("measurements (units") <= 10
    assert "\x1b" not in done.stdout + done.stderr


def test_what_is_written_is_whole_and_names_its_command(analysed):
    folder, done = analysed
    assert sorted(path.name for path in folder.iterdir()) == FILES
    result = read_result(folder / "result.json")
    assert result["tool"]["command"].startswith(f"diffeo-probe analyze {DEMO.model}")
    assert result["tool"]["configuration"]["budget"] == "quick"
    assert result["tool"]["configuration"]["mean"] == [0.3]
    assert result["inputs"]["count"] == 3
    for verdict in result["verdicts"]:
        if verdict["map"] == "sum" or verdict["unit"] is None:
            assert verdict["sentence"] in done.stdout


def test_a_report_made_again_is_the_same_to_the_byte(typed, analysed, tmp_path):
    folder, _ = analysed
    for given, out in ((folder, "one.html"), (folder / "result.json", "two.html")):
        outcome = typed("report", given, "--out", tmp_path / out)
        assert outcome.exit_code == 0, outcome.output
        assert outcome.stdout == f"report: {tmp_path / out}\n"
        assert (tmp_path / out).read_bytes() == (folder / "report.html").read_bytes()


def test_a_second_run_needs_overwrite_and_then_replaces_everything(typed, tmp_path):
    words = ["analyze", DEMO.model, "--inputs", DEMO.inputs, *SMALL, "--measures", "sign", "--out", tmp_path]
    assert typed(*words, "-n", 1).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = typed(*words, "-n", 2)
    assert refused.exit_code == 3
    assert "--overwrite" in refused.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert typed(*words, "-n", 2, "--overwrite").exit_code == 0
    assert read_result(tmp_path / "result.json")["inputs"]["count"] == 2
    same = {path.name for path in tmp_path.iterdir() if path.read_bytes() == before[path.name]}
    assert same == {".diffeo-probe.lock"}


def test_the_default_folder_is_new_and_named_after_the_model(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("diffeo-probe-digits_resnet", "diffeo-probe-digits_resnet-2"):
        outcome = typed("analyze", DEMO.model, "--inputs", DEMO.inputs, "-n", 1, *SMALL, "--measures", "sign")
        assert outcome.exit_code == 0, outcome.output
        assert outcome.stdout.splitlines()[-1] == f"report: {name}/report.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "diffeo-probe-digits_resnet",
        "diffeo-probe-digits_resnet-2",
    ]


@pytest.mark.parametrize(
    ("options", "gate", "code"),
    [
        # unit 1.0 of the demo's network has both signs, unit 2.2 one
        (["--units", "layer1.0"], "never", 0),
        (["--units", "layer1.0"], "error", 0),
        (["--units", "layer1.0"], "violation", 1),
        (["--units", "layer1.0"], "uncertified", 1),
        (["--units", "layer2.2"], "violation", 0),
        (["--units", "layer2.2"], "uncertified", 1),
        # factors that may take a few bytes are no factors: partial, or a tripped gate
        (["--max-memory", "1e-9"], "never", 4),
        (["--max-memory", "1e-9"], "error", 1),
        (["--max-memory", "1e-9"], "violation", 1),
    ],
)
def test_gates_and_partial_results(typed, tmp_path, options, gate, code):
    # two inputs of which one is on each side of the fold of layer1.0
    outcome = typed(
        "analyze", DEMO.model, "--inputs", DEMO.inputs, *SMALL, "--measures", "sign", *options, "--fail-on", gate,
        "--out", tmp_path / "out", "-n", 6,
    )  # fmt: skip
    assert outcome.exit_code == code, outcome.output
    assert (tmp_path / "out" / "report.html").is_file()
    result = read_result(tmp_path / "out" / "result.json")
    if "--max-memory" in options:
        assert "GiB" in next(u["reason"] for u in result["units"] if u["status"] == "not_run")


@pytest.mark.parametrize(("labels", "known"), [("folders", True), ("none", False)])
def test_classes_of_folders_are_used_unless_they_are_refused(typed, tmp_path, labels, known):
    outcome = typed(
        "analyze", DEMO.model, "--inputs", DEMO.inputs, *SMALL, "--measures", "sign", "--units", "layer2.2",
        "--labels", labels, "--out", tmp_path / "out", "-n", 10,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert ("accuracy on these inputs" in outcome.stdout) == known
    assert (read_result(tmp_path / "out" / "result.json")["inputs"]["accuracy"] is not None) == known


def test_inspect_lists_units_and_measures_nothing(typed):
    outcome = typed("inspect", DEMO.model)
    assert outcome.exit_code == 0, outcome.output
    for words in ("layer1.0", "8×8×8", "identity", "32×4×4", "GFLOP"):
        assert words in outcome.stdout
    assert "layer2.0: The unit maps 8 × 8 × 8 to 32 × 4 × 4" in outcome.stdout
    assert "note: " in outcome.stderr


@pytest.mark.slow
def test_one_interrupt_saves_what_was_measured(tmp_path):
    """Ctrl-C as a terminal sends it, once the first line of progress is there."""
    words = ["analyze", DEMO.model, "--inputs", DEMO.inputs, "--budget", "standard", "--workers", "1",
             "--mean", "0.3", "--std", "0.4", "--out", tmp_path / "out"]  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, "-m", "diffeo_probe", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    for line in running.stderr:
        if "measurements" in line:
            running.send_signal(signal.SIGINT)
            break
    stdout, stderr = running.communicate(timeout=120)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "interrupted: the report holds what was measured until then" in stderr
    result = read_result(tmp_path / "out" / "result.json")
    signs = [row for row in result["measurements"] if row["quantity"] == "sign"]
    assert 0 < len(signs) < 6 * 32
    assert "partial" in {unit["status"] for unit in result["units"]}
    assert (tmp_path / "out" / "report.html").is_file()
    assert stdout.splitlines()[-1].startswith("report: ")


def test_a_bug_of_ours_asks_to_be_reported(typed, monkeypatch):
    from resnet_diffeo_probe import models

    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("not the user's fault")

    monkeypatch.setattr(models, "load", broken)
    outcome = typed("inspect", DEMO.model)
    assert outcome.exit_code == 70
    assert "This is a bug in diffeo-probe" in outcome.stderr
    assert "ZeroDivisionError: not the user's fault" in outcome.stderr
    assert outcome.stdout == ""


def test_a_reader_that_has_had_enough_is_no_error():
    shell = f"'{sys.executable}' -m diffeo_probe inspect '{DEMO.model}' | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 0


@pytest.mark.slow
def test_the_demo_goes_the_whole_way(tmp_path):
    done = command("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "diffeo-probe-demo"
    result = read_result(folder / "result.json")
    assert result["inputs"]["accuracy"] == {"correct": 32, "total": 32}
    states = {v["unit"]: v["state"] for v in result["verdicts"] if v["map"] == "sum"}
    assert states["layer1.0"] == "not_injective_proven"
    assert states["layer2.0"] == "not_applicable"
    counts = next(v["counts"] for v in result["verdicts"] if v["unit"] == "layer1.0" and v["map"] == "sum")
    assert counts["positive"] > 8
    assert counts["negative"] > 8
    assert json.loads((folder / "result.json").read_text())["tool"]["command"].startswith("diffeo-probe demo")
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")[:500]


def test_the_record_of_options_has_those_of_the_command_and_their_defaults():
    options = dict(analyze.make_context("analyze", ["model.pt"]).params)
    del options["model"]
    assert AnalysisOptions.of(options) == AnalysisOptions()
