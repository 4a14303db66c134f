"""Names of units, images and class folders are text: no markup, no escape sequence, no formula, no path."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffeo_probe.main import cli
from PIL import Image
from torch import nn

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.provenance import Provenance
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from resnet_diffeo_probe.report import render, units_csv, write_folder

UNIT_NAMES = (
    "<diffeo-evil>",
    "\" diffeo-evil='1' x=\"",
    "</script><diffeo-evil>",
    "/../../../diffeo-evil",
    "..\\..\\diffeo-evil",
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "+1+1",
    "-2+3",
    "\tname",
    "\x1b]0;evil\x07\x1b[2J",
    "line\nbreak",
    "\N{RIGHT-TO-LEFT OVERRIDE}lave",
    "{{7*7}}{%diffeo-evil%}",
    "con",
    "x" * 300,
)


@pytest.fixture(scope="module")
def check_page():
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from session import check_page

        return check_page
    finally:
        sys.path.remove(str(Path(__file__).parent))


class Block(nn.Module):
    """relu(x + conv(x)), which clips and so is not injective."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.conv(x))


class Net(nn.Module):
    """Blocks of any name; `add_module` would take a dot for a path."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        for name in names:
            self._modules[name] = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self._modules.values():
            assert block is not None
            x = block(x)
        return x


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with everything that an analysis of such names writes, and what lay around it before."""
    around = tmp_path_factory.mktemp("around")
    folder = around / "a" / "b" / "out"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    names = tuple(name.replace(".", "․") for name in UNIT_NAMES)  # a dot would be a path of modules
    inputs = tuple(f"{name}/{i}.png" for i, name in enumerate(UNIT_NAMES[:2]))
    batch = Inputs(
        rows=TensorRows(torch.randn(2, 1, 4, 4)), names=inputs, labels=UNIT_NAMES[:2], classes=UNIT_NAMES[:2],
        skipped=((UNIT_NAMES[10], "<diffeo-evil>"),), kind="images", source=UNIT_NAMES[1],
        preprocessing=Preprocessing.from_preset("none"), seed=0, notes=("<diffeo-evil>",),
    )  # fmt: skip
    analysis = analyze(
        Net(names).eval(), batch, Settings(workers=1), provenance=Provenance("<diffeo-evil> \x1b[2J")
    )
    write_folder(analysis.result, folder, save_witnesses=analysis.save_witnesses)
    render(read_result(folder / "result.json"), path=folder / "report.html")
    return around, folder, analysis


def test_nothing_leaves_the_folder(written):
    around, folder, analysis = written
    assert len(analysis.witnesses) >= len(UNIT_NAMES) // 2
    files = [path for path in around.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(folder) for path in files)
    pairs = [path for path in files if path.suffix == ".npz"]
    assert len(pairs) == len(analysis.witnesses)
    assert {path.parent for path in pairs} == {folder / "witnesses"}
    for path in pairs:
        assert all(c.isprintable() and c not in '/\\<>"' for c in path.name)


def test_the_page_shows_them_as_text(written, check_page):
    page = (written[1] / "report.html").read_text(encoding="utf-8")
    check_page(page)
    assert "&lt;diffeo-evil&gt;" in page


def test_no_cell_is_a_formula(written):
    rows = list(csv.reader(io.StringIO(units_csv(written[2].result))))
    assert len(rows) == len(UNIT_NAMES) + 1
    for row in rows[1:]:
        assert row[1][0] not in "=+-@\t\r"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    chance = np.random.default_rng(0)
    for i, name in enumerate(
        ("<b>bold", "\x1b]0;evil\x07\x1b[31m", "a\nb", "\N{RIGHT-TO-LEFT OVERRIDE}x", "=cmd|x", "evil..")
    ):
        (folder / name).mkdir(parents=True)
        pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"\x1b[1m{i}.png")
        (folder / name / "\x1b[2Jbroken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def test_the_terminal_shows_them_as_text(images, tmp_path, capfd, check_page, monkeypatch):
    """The commands print what they skip, measure and conclude; no name speaks to the terminal."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from seeds import models
    finally:
        sys.path.remove(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "\x1b[31m<b>model.safetensors"
    model.write_bytes(models()["a.safetensors"])
    code = cli.main(
        ["analyze", str(model), "--inputs", str(images), "--preset", "none", "--workers", "1",
         "--measures", "residual_ratio,clipped_fraction"],
        standalone_mode=False,
    )  # fmt: skip
    assert code == 0
    told = "".join(capfd.readouterr())
    assert "skipped" in told
    assert "\x1b" not in told and "\N{RIGHT-TO-LEFT OVERRIDE}" not in told and "\x07" not in told
    [folder] = [path for path in tmp_path.iterdir() if path.name.startswith("diffeo-probe-")]
    assert all(c.isalnum() or c in "._-" for c in folder.name)
    check_page((folder / "report.html").read_text(encoding="utf-8"))
    assert len(read_result(folder / "result.json")["inputs"]["names"]) == 6
