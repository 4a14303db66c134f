"""Which program made a number: its version, and its source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_diffeo_probe
from resnet_diffeo_probe import version

PACKAGE = Path(resnet_diffeo_probe.__file__).parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(
        PACKAGE, tmp_path / "lib" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")
    )


def test_the_program_is_its_version_and_its_source() -> None:
    digest = version.source_digest(PACKAGE)
    assert version.program() == f"diffeo-probe {version.__version__}, source {digest[:16]}"


def test_the_same_source_elsewhere_is_the_same_program(copy: Path) -> None:
    code = "from resnet_diffeo_probe import version; print(version.__file__, version.program(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(copy / "version.py"), version.program()]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p / "nearest.py").write_bytes((p / "nearest.py").read_bytes() + b"\n"),
        lambda p: (p / "nearest.py").rename(p / "nearer.py"),
        lambda p: (p / "nearest.py").unlink(),
        lambda p: (p / "analysis/another.py").touch(),
    ],
    ids=["a byte", "a name", "one fewer", "one more"],
)
def test_another_source_is_another_program(copy: Path, change) -> None:
    before = version.source_digest(copy)
    assert before == version.source_digest(PACKAGE)
    change(copy)
    assert version.source_digest(copy) != before


def test_what_is_no_source_does_not_count(copy: Path) -> None:
    before = version.source_digest(copy)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__/nearest.cpython-311.pyc").write_bytes(b"compiled")
    (copy / "demo/digits.json").write_text("{}")
    assert version.source_digest(copy) == before


def test_bytes_do_not_move_from_one_file_to_the_next(tmp_path: Path) -> None:
    for name, first, second in (("a", "x = 1\n", ""), ("b", "", "x = 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "first.py").write_text(first)
        (tmp_path / name / "second.py").write_text(second)
    assert version.source_digest(tmp_path / "a") != version.source_digest(tmp_path / "b")


def test_without_source_no_two_are_the_same(tmp_path: Path) -> None:
    one, other = version.source_digest(tmp_path), version.source_digest(tmp_path)
    assert len(one) == 64
    assert one != other
