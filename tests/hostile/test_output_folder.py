"""An output folder that somebody prepared: links in it lead nothing that is written, or deleted, out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffeo_probe.main import cli
from safetensors.torch import save

from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.models import CifarResNet

# what an analysis writes, makes for a moment, or clears away
NAMES = (
    "report.html", "result.json", "units.csv", "run.toml", "log.txt", "measurements.sqlite", "measurements.sqlite-wal",
    ".diffeo-probe.lock", ".diffeo-probe-write-test", "witnesses",
)  # fmt: skip
PRECIOUS = b"do not touch this"


def analysed(tmp_path: Path, folder: Path) -> str:
    """Run an analysis with proofs into the folder; return the code of its error, "" if there was none."""
    torch.manual_seed(0)
    model = tmp_path / "model.safetensors"
    model.write_bytes(save(CifarResNet((1,), (2,), num_classes=2).state_dict(), {"input_shape": "3,4,4"}))
    words = [
        "analyze",
        str(model),
        "--count",
        "1",
        "--budget",
        "quick",
        "--workers",
        "1",
        "--overwrite",
        "--out",
        str(folder),
    ]
    try:
        cli.main(words, standalone_mode=False)
    except DiffeoProbeError as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_links_are_not_followed(tmp_path, name, capfd):
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    folder.mkdir()
    if name == "witnesses":
        np.savez(outside / "mine.npz", x=np.zeros(2))
        (folder / name).symlink_to(outside, target_is_directory=True)
    else:
        (outside / "mine").write_bytes(PRECIOUS)
        (folder / name).symlink_to(outside / "mine")
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    analysed(tmp_path, folder)
    capfd.readouterr()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


def test_the_analysis_itself_writes_its_files(tmp_path, capfd):
    """The counter-check: without links all of it appears."""
    assert analysed(tmp_path, tmp_path / "out") == ""
    capfd.readouterr()
    assert {"report.html", "result.json", "units.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
