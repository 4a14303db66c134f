"""An analysis in a notebook: the object, its frames, figures, card and files."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.analysis.comparing.thresholds import read_thresholds
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import ResultError
from resnet_diffeo_probe.errors import ConfigurationError, LoadError
from resnet_diffeo_probe.notebook import Options, Study
from tests.report import sample


class Block(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.conv(x))


@pytest.fixture(scope="module")
def fresh() -> Study:
    torch.manual_seed(0)
    return rdp.analyze(nn.Sequential(Block(0.3), Block(0.3)), torch.randn(3, 2, 4, 5), workers=1)


@pytest.fixture
def stored() -> Study:
    return Study(sample.make_result(units=6, inputs=4))


def test_five_lines_from_a_module_to_everything(fresh: Study, tmp_path: Path) -> None:
    assert list(fresh.verdicts) == ["0", "1"]
    assert {v["state"] for v in fresh.verdicts.values()} == {"certified_injective"}
    assert "2 certified injective" in repr(fresh)
    folder = fresh.save(tmp_path / "out")
    assert {p.name for p in folder.iterdir()} >= {"report.html", "result.json", "units.csv"}
    again = rdp.read(folder)
    assert again.result == fresh.result
    assert again.analysis is None


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import resnet_diffeo_probe, sys; print(sorted({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {"analyze", "read", "load", "discover", "read_inputs"} <= set(dir(rdp))
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = rdp.analyse


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(LoadError):
        rdp.analyze(tmp_path / "none.pt", torch.zeros(1, 3, 8, 8))


def test_a_budget_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no budget 'deep'") as caught:
        rdp.analyze(nn.Identity(), torch.zeros(1, 2), budget="deep")
    assert "standard" in (caught.value.why or "")


def test_every_number_is_in_the_frame(stored: Study) -> None:
    frame = stored.to_frame()
    rows = stored.result["measurements"]
    assert len(frame) == len(rows)
    for (_, got), row in zip(frame.iterrows(), rows, strict=True):
        assert (got["unit"], got["input"], got["quantity"]) == (row["unit"], row["input"], row["quantity"])
        assert math.isnan(got["value"]) if row["value"] is None else got["value"] == row["value"]
        assert got["status"] == row["status"]
    assert all(frame[column].dtype == "float64" for column in ("value", "error", "low", "high"))


def test_the_units_frame_counts_signs_and_takes_medians(stored: Study) -> None:
    frame = stored.units_frame()
    assert list(frame.index) == [unit["name"] for unit in stored.result["units"]]
    every = stored.to_frame()
    for name, row in frame.iterrows():
        signs = every[(every["unit"] == name) & (every["quantity"] == "sign")]
        signs = signs[signs["status"] != "on_kink"]["value"]
        if len(signs):
            assert row["signs_positive"] == (signs > 0).sum()
            assert row["signs_negative"] == (signs < 0).sum()
        values = every[(every["unit"] == name) & (every["quantity"] == "residual_ratio")]["value"].dropna()
        if len(values):
            assert row["residual_ratio"] == pytest.approx(values.median())
    assert frame["signs_positive"].dtype == "Int64"


def test_frames_without_pandas_say_what_to_install(stored: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="pandas") as caught:
        stored.to_frame()
    assert "pip install pandas" in (caught.value.fix or "")


def test_the_card_escapes_names_and_runs_nothing() -> None:
    study = Study(sample.make_result(units=10, inputs=3, unit_names=list(sample.EVIL_NAMES)))
    card = study._repr_html_()
    assert "<script" not in card
    assert "<img" not in card
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert card.count("<tr>") == 11
    assert "http" not in card.replace("http://evil.example", "")
    assert "&lt;script&gt;" in card


def test_figures_are_returned_and_pyplot_never_hears_of_them(stored: Study) -> None:
    before = set(sys.modules)
    figure = stored.depth()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in set(sys.modules) - before
    (only,) = stored.depth("residual_ratio").axes
    drawn = [line.get_ydata()[0] for line in only.lines if line.get_marker() == "o"]
    values = stored.to_frame().query("quantity == 'residual_ratio'")["value"].dropna()
    assert sorted(drawn) == pytest.approx(sorted(values))


def test_the_determinants_have_their_signs_in_a_row_of_their_own(stored: Study) -> None:
    (axes,) = stored.determinants().axes
    glyphs = [text.get_text() for text in axes.texts]
    assert len(glyphs) == 6
    for glyph, (_, row) in zip(glyphs, stored.units_frame().fillna(0).iterrows(), strict=True):
        both = row["signs_positive"] > 0 and row["signs_negative"] > 0
        assert (glyph == "±") == bool(both)


def test_what_is_infinite_or_diverged_is_marked_and_not_dropped() -> None:
    result = sample.make_result(units=3, inputs=4)
    rows = [r for r in result["measurements"] if r["quantity"] == "critical_step"]
    broken = copy.deepcopy(rows[0]) | {"value": None, "status": "infinite"}
    result["measurements"] = [broken, *rows[1:]]
    (axes,) = Study(result).depth("critical_step").axes
    assert sum(line.get_marker() == "^" for line in axes.lines) >= 1
    assert sum(line.get_marker() in ("o", "^", "v") for line in axes.lines) == len(
        [
            r
            for r in result["measurements"]
            if r["value"] is not None or r["status"] in ("infinite", "not_converged")
        ]
    )


def test_a_quantity_that_was_not_measured_is_named(stored: Study) -> None:
    with pytest.raises(ConfigurationError, match="nonsense was not measured"):
        stored.depth("nonsense")
    empty = copy.deepcopy(stored.result) | {"measurements": []}
    with pytest.raises(ConfigurationError, match="nothing was measured"):
        Study(empty).depth()
    assert Study(empty).units_frame().shape[0] == 6


def test_reading_nonsense_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"schema_version": "9.9"}), encoding="utf-8")
    with pytest.raises(ResultError, match="schema version"):
        rdp.read(tmp_path)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Block(0.3))


X = torch.linspace(-1, 1, 40).reshape(1, 2, 4, 5)


def test_options_are_those_of_the_settings_by_name() -> None:
    options = {
        "budget": "quick", "dtype": "float32", "device": "cpu", "seed": 3, "baseline": "black", "workers": 1,
        "threads_per_worker": 1, "max_memory": 2.0, "units": ["0"], "measures": (),
    }  # fmt: skip
    assert set(options) == set(Options.__annotations__)
    tool = rdp.analyze(small(), X, **options).result["tool"]
    assert (tool["dtype"], tool["seed"], tool["device"]) == ("float32", 3, "cpu")
    configuration = tool["configuration"]
    assert (configuration["budget"], configuration["baseline"]) == ("quick", "black")
    assert (configuration["units"], configuration["max_bytes"]) == (["0"], 2.0 * 2**30)
    settings = Settings(budget=Budget.QUICK, workers=1, seed=5)
    changed = rdp.analyze(small(), X, settings, dtype="float32").result["tool"]
    assert (changed["seed"], changed["dtype"], changed["configuration"]["budget"]) == (5, "float32", "quick")


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({"max_memroy": 1}, "unknown-option"),
        ({"baseline": "white"}, "unknown-baseline"),
        ({"device": "gpu"}, None),
        ({"dtype": "float16"}, None),
    ],
)
def test_an_option_that_does_not_exist_is_named(option: dict[str, object], code: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rdp.analyze(small(), X, **option)
    assert code is None or caught.value.code == code
    assert caught.value.fix


def test_a_store_is_committed_to_and_gone_on_with(tmp_path: Path) -> None:
    seen: list[bool] = []
    calls = [
        rdp.analyze(
            small(),
            X,
            budget="quick",
            workers=1,
            store=tmp_path / "runs",
            progress=lambda p: seen.append(p.reused),
        )
        for _ in range(2)
    ]
    assert seen == [False, True]
    first, second = (study.result for study in calls)
    assert first["measurements"] == second["measurements"]
    with pytest.warns(UserWarning, match="seed was 0 and is 1"):
        rdp.analyze(small(), X, budget="quick", workers=1, seed=1, store=str(tmp_path / "runs"))


def test_thresholds_are_a_file_or_limits_and_stand_in_the_result(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text("max_residual_ratio = 0.25\n", encoding="utf-8")
    by_file = rdp.analyze(small(), X, measures=["sign"], workers=1, thresholds=file).result["thresholds"]
    by_limits = rdp.analyze(small(), X, measures=["sign"], workers=1, thresholds=iter(read_thresholds(file)))
    assert by_file == by_limits.result["thresholds"]
    assert [t["value"] for t in by_file if t["key"] == "max_residual_ratio"][-1] == 0.25
    file.write_text('[units."layer9"]\nmax_residual_ratio = 0.25\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="layer9"):
        rdp.analyze(small(), X, measures=["sign"], thresholds=str(file))
