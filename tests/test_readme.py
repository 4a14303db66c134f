"""The README's Python runs, and its options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from diffeo_probe.main import cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own text
    printed = capsys.readouterr().out
    assert "layer1.0: " in printed
    assert "layer4.1: " in printed
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", ["analyze", "inspect", "demo", "check", "compare", "explain"])
def test_options_named_in_the_readme_exist(command: str) -> None:
    lines = [line for line in README.splitlines() if line.startswith(f"diffeo-probe {command}")]
    helped = CliRunner().invoke(cli, [command, "--help"]).output
    for line in lines:
        for option in re.findall(r"(?<= )--?[a-z-]+", line.split("#")[0]):
            assert option in helped


def test_pictures_and_folders_of_the_readme_are_in_the_repository() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
