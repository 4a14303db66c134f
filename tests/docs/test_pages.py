"""Every code block of the documents is run, and what it prints is what stands there."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from diffeo_probe.main import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
#: Directives of Sphinx, which its own build checks.
DIRECTIVES = ("{eval-rst}", "{toctree}")


@dataclass(frozen=True)
class Block:
    """One fenced block: what its fence says, its lines, where it stands."""

    kind: str
    text: str
    line: int


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\S*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in found]


def with_blocks(kind: str) -> list[Path]:
    return [path for path in PAGES if any(block.kind == kind for block in blocks_of(path))]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_no_block_escapes_the_tests(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n```") >= 2 * len(blocks_of(path)) - 1
    for block in blocks_of(path):
        assert block.kind in ("python", "output", "console", "text", *DIRECTIVES), f"{path.name}:{block.line}"


@pytest.mark.slow
@pytest.mark.parametrize("path", with_blocks("python"), ids=lambda p: p.name)
def test_python_blocks_run_in_order_and_print_what_they_say(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = [block for block in blocks_of(path) if block.kind in ("python", "output")]
    for place, block in enumerate(blocks):
        if block.kind == "output":
            assert blocks[place - 1].kind == "python", f"{path.name}:{block.line} belongs to no code"
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.text, str(path), "exec"), names)  # noqa: S102 - our own text
        follows = blocks[place + 1] if place + 1 < len(blocks) else None
        expected = follows.text if follows is not None and follows.kind == "output" else ""
        assert printed.getvalue() == expected, f"{path.name}:{block.line}"


@pytest.mark.slow
@pytest.mark.parametrize("path", with_blocks("console"), ids=lambda p: p.name)
def test_console_blocks_run_and_end_as_they_say(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks_of(path):
        if block.kind != "console":
            continue
        lines = block.text.splitlines()
        for place, line in enumerate(lines):
            if not line.startswith("$ "):
                assert re.fullmatch(r"exit \d+", line), f"{path.name}:{block.line}: {line}"
                continue
            words = shlex.split(line[2:])
            assert words[0] == "diffeo-probe"
            follows = lines[place + 1] if place + 1 < len(lines) else ""
            expected = int(follows.split()[1]) if follows.startswith("exit ") else 0
            done = subprocess.run(
                [sys.executable, "-m", "diffeo_probe", *words[1:]],
                capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", with_blocks("text"), ids=lambda p: p.name)
def test_commands_that_are_shown_and_not_run_have_options_that_exist(path: Path) -> None:
    for block in blocks_of(path):
        if block.kind != "text":
            continue
        for line in block.text.splitlines():
            match = re.search(r"diffeo-probe (\w+)([^#]*)", line)
            if match is None:
                continue
            helped = CliRunner().invoke(cli, [match[1], "--help"])
            assert helped.exit_code == 0, line
            for option in re.findall(r"(?<= )--?[a-z][a-z-]*", match[2]):
                assert option in helped.output, line


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed (pip install -e '.[docs]')")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list(tmp_path.glob("*.html"))
    assert {path.stem for path in PAGES} <= {page.stem for page in pages}
    for page in pages:
        fetched = re.findall(r'(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8"))
        loads = re.findall(
            r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text()
        )
        assert loads == [], page.name
        assert all(not url.startswith("http://") for url in fetched)
    text = (tmp_path / "python.html").read_text(encoding="utf-8")
    assert "Measure every residual unit of a network at every input" in text
    assert "--fail-on" in (tmp_path / "commands.html").read_text(encoding="utf-8")
