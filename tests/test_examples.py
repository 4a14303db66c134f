"""Each example runs as it stands, and prints what is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def printed(name: str, folder: Path) -> str:
    (path,) = (path for path in EXAMPLES if path.stem == name)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert " UserWarning: " not in done.stderr  # that nothing in a store can be used
    assert list(folder.iterdir()) == []
    return done.stdout


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(EXAMPLES) == 3
    assert all(f'printed("{path.stem}"' in text for path in EXAMPLES)


def test_the_engine_and_the_dense_jacobian_print_the_same(tmp_path: Path) -> None:
    engine, kind, dense = printed("one_determinant", tmp_path).splitlines()
    numbers = re.compile(r"sign ([+-]1), log\|det J\| = (-?\d+\.\d{6})$")
    assert numbers.search(engine)[1] == numbers.search(dense)[1]
    assert float(numbers.search(engine)[2]) == pytest.approx(float(numbers.search(dense)[2]), abs=2e-6)
    assert kind.endswith("rounding")


def test_a_shorter_step_has_the_sign_of_the_identity(tmp_path: Path) -> None:
    before, after = printed("shorten_a_step", tmp_path).splitlines()
    assert re.fullmatch(r"a step of 1: sign -1, critical step 0\.\d{3}", before)
    assert re.match(r"a step of 0\.\d{3}: sign \+1, ", after)


def test_an_analysis_that_goes_on_has_a_sign_for_each_unit_and_image(tmp_path: Path) -> None:
    first, *units = printed("go_on_and_read", tmp_path).splitlines()
    assert first == "6 verdicts, 15 signs"
    assert [len(line.split()) for line in units] == [4] * 5
