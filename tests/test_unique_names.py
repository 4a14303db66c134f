"""A class name means one thing in the whole house."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "resnet_diffeo_probe", ROOT / "cli" / "diffeo_probe")


def public_classes(source: str) -> list[str]:
    """Return the names of a module's own classes, without those that begin with an underscore."""
    body = ast.parse(source).body
    return [node.name for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            for name in public_classes(path.read_text(encoding="utf-8")):
                places[name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 200
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_private_class_and_one_inside_a_function_may_share_a_name() -> None:
    source = "class A: pass\nclass _B: pass\ndef f():\n    class C: pass\n"
    assert public_classes(source) == ["A"]
