"""A file that a docstring, a comment or a document cites is in the repository, and so is the section."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "resnet_diffeo_probe",
    "cli",
    "tests",
    "benchmarks",
    "examples",
    "docs",
    "reports",
    "findings",
    ".github",
)
#: What a run writes, what somebody else's file is called, and what stands for any file.
ELSEWHERE = frozenset({
    "result.json", "content.json", "data.json", "before/result.json", "after/result.json",  # of an analysis
    "resnet20_oracle.json", "../shared",  # beside the repository
    "conf/global_settings.py", "mnist/main.py", "torchvision/models/resnet.py",  # of others, as the comment says
})  # fmt: skip


def files() -> list[Path]:
    """Return the repository's own files, as its folders hold them: there is no git in an archive of it."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted(found)


THERE = files()
ENDS = {tuple(path.relative_to(ROOT).parts[-count:]) for path in THERE for count in range(1, 8)}
CITED = re.compile(r"(?<![\w/.*{<>-])((?:[\w.-]+/)*[\w-]+(?:\.[\w-]+)*\.(?:md|py|json))(?![\w(*}])")
SECTION = re.compile(r"docs/(\w+\.md), \"([^\"]+)\"")


def words_of(path: Path) -> str:
    """Return a document, or what a program says in docstrings and comments, without its line ends."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(n) or "" for n in ast.walk(ast.parse(text)) if isinstance(n, documented)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found += [token.string for token in tokens if token.type == tokenize.COMMENT]
    return "\n".join(found)


SPEAKING = [path for path in THERE if path.suffix in (".md", ".py")]


def missing(text: str, place: Path) -> set[str]:
    """Return the files that a text cites and that are not there, by any path's end or beside the text."""
    names = {name for name in CITED.findall(text) if name not in ELSEWHERE}
    return {
        name for name in names if tuple(name.split("/")) not in ENDS and not (place.parent / name).exists()
    }


def test_every_cited_file_is_in_the_repository() -> None:
    found = {path: missing(words_of(path), path) for path in SPEAKING}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


def headings(name: str) -> set[str]:
    return set(
        re.findall(r"^#+ (.+)$", (ROOT / "docs" / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    )


def test_every_cited_section_is_in_its_document() -> None:
    count = 0
    for path in SPEAKING:
        for name, section in SECTION.findall(" ".join(words_of(path).split())):
            assert section in headings(name), f"{path}: {section}"
            count += 1
    assert count >= 13


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("(MATH.md, section 5)", {"MATH.md"}),
        ("see `tests/no_such.py`.", {"tests/no_such.py"}),
        ("docs/mathematics.md, and `benchmarks/no/such.json`", {"benchmarks/no/such.json"}),
        ("finding.py, jacobian/measures/check.py", set()),
    ],
)
def test_a_file_that_is_not_there_would_be_found(text: str, lost: set[str]) -> None:
    assert missing(text, ROOT / "README.md") == lost
