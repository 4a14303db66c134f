"""A number counts as today's only if today's source made it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import resnet_diffeo_probe
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.store.fingerprint import conditions_of
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.units import discover
from resnet_diffeo_probe.version import __version__, program
from tests.analysis.networks import Block, Net, images, seeded

PACKAGE = Path(resnet_diffeo_probe.__file__).parent
GO_ON = """
import sys
from pathlib import Path
from tests.analysis.store import test_fingerprint as study
with study.Store(Path(sys.argv[1]), resume=True) as store:
    for reason in store.begin(study.conditions()):
        print(reason)
    print("found:", store.find("u", "a.png") is not None)
"""


def conditions():
    return conditions_of(discover(seeded(lambda: Net(Block(2))), images(1)), Settings(seed=3))


@pytest.mark.parametrize("edited", [False, True], ids=["the same source", "another source"])
def test_a_row_made_by_another_source_is_measured_again(tmp_path: Path, edited: bool) -> None:
    with Store(tmp_path / "out") as store:
        assert store.begin(conditions()) == []
        store.keep(Outcome("u", "a.png", {"sign": Finding(1)}, nonnegative=True, seconds=0.1), "hash", 1.0)
    copy = shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if edited:
        with (copy / "jacobian/measures/check.py").open("a", encoding="utf-8") as file:
            file.write("\n# the same version\n")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(tmp_path), str(PACKAGE.parent)]!r}\n{GO_ON}",
         str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *reasons, found = done.stdout.splitlines()
    assert found == f"found: {not edited}"
    if not edited:
        assert reasons == []
        return
    (reason,) = reasons
    before, now = reason.removeprefix("measured with ").split(", this is ")
    assert before.startswith(f"{program()} (torch {torch.__version__}, ")
    assert now.startswith(f"diffeo-probe {__version__}, source ")
    assert before.partition(" (")[2] == now.partition(" (")[2]
    assert before != now
