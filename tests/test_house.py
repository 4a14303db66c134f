"""The house: rooms of fewer than twenty files, files of one subject, imports without a circle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"resnet_diffeo_probe": ROOT, "diffeo_probe": ROOT / "cli"}
FOLDERS = [*(place / name for name, place in PACKAGES.items()), ROOT / "tests", ROOT / "benchmarks"]
FILES = sorted(file for folder in FOLDERS for file in folder.rglob("*.py"))


def test_there_is_a_house() -> None:
    assert len(FILES) > 400


def test_a_room_has_fewer_than_twenty_files() -> None:
    rooms = Counter(file.parent.relative_to(ROOT) for file in FILES if file.name != "__init__.py")
    assert not {str(room): count for room, count in rooms.items() if count >= 20}


def test_a_file_has_350_lines_at_most() -> None:
    lengths = {file: file.read_text("utf-8").count("\n") for file in FILES}
    assert not {str(file.relative_to(ROOT)): count for file, count in lengths.items() if count > 350}


def modules() -> dict[str, Path]:
    """Return the packages' modules by their dotted names."""
    found = {}
    for package, place in PACKAGES.items():
        for file in sorted((place / package).rglob("*.py")):
            parts = file.relative_to(place).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_at_the_top(source: str) -> list[ast.Import | ast.ImportFrom]:
    """Return a module's imports outside of functions, those for type checkers with them."""
    found: list[ast.Import | ast.ImportFrom] = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def imported(source: str, known: Iterable[str]) -> set[str]:
    """Return which of the known modules a source imports: of a package the submodule, where one is named."""
    names, found = set(known), set()
    for node in imports_at_the_top(source):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, alias.name) for alias in node.names]
        else:
            assert node.level == 0, "imports are absolute"
            wanted = [(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names]
        for submodule, module in wanted:
            found |= {submodule} & names or {module} & names
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the sets of modules of which each reaches each other (Tarjan, SIAM J. Comput. 1, 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            together = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(together) > 1 or module in graph[module]:
                found.append(sorted(together))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return found


def test_no_import_leads_back_to_where_it_began() -> None:
    known = modules()
    graph = {module: imported(file.read_text("utf-8"), known) for module, file in known.items()}
    assert sum(map(len, graph.values())) > 1000
    assert circles(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "from a.y import Y",
        "import a.y",
        "if TYPE_CHECKING:\n    from a import y",
        "try:\n    import a.y\nfinally: ...",
    ],
)
def test_a_circle_is_found_however_it_is_written(back: str) -> None:
    sources = {"a": "", "a.x": back, "a.y": "from a.z import Z", "a.z": "class Z:\n    from a import x"}
    graph = {module: imported(source, sources) for module, source in sources.items()}
    assert circles(graph) == [["a.x", "a.y", "a.z"]]
    # an import inside a function is made when it is called, not when the module is
    later = {**sources, "a.z": "def z():\n    from a import x"}
    assert circles({module: imported(source, later) for module, source in later.items()}) == []
