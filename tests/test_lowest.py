"""The lowest versions that pyproject.toml allows are those that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions(text: str) -> tuple[int, ...]:
    parts = [int(part) for part in text.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


def test_the_constraints_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    bounds = dict(line.split(">=") for line in [*project["dependencies"], *extras["lowest"]])
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {name: versions(version) for name, version in lowest.items()} == {
        name: versions(version) for name, version in bounds.items()
    }
    # what the tests ask for is not below what they are run with
    asked = dict(line.split(">=") for line in extras["test"])
    assert {name: asked[name] for name in extras_names(extras["lowest"])} == {
        name: bounds[name] for name in extras_names(extras["lowest"])
    }


def extras_names(lines: list[str]) -> list[str]:
    return [line.split(">=")[0] for line in lines]


def test_the_workflow_and_the_policy_give_the_same_command() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    policy = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
    for pattern in (r"install (?:-q )?(-c constraints-lowest.txt -e .*)$", r"pytest (tests/jacobian .*)$"):
        (there,) = re.findall(pattern, workflow, flags=re.MULTILINE)
        (said,) = re.findall(pattern, policy, flags=re.MULTILINE)
        assert there == said


def test_the_workflow_runs_what_is_run_before_a_change_lands() -> None:
    assert "run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_the_citation_names_this_version_and_its_day() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    day = re.search(r"^date-released: (\S+)$", citation, flags=re.MULTILINE)
    assert f"\nversion: {project['version']}\n" in citation
    assert day is not None
    assert f"## [{project['version']}] - {day[1]}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
