"""No public function takes more than nine parameters: what belongs together is given together."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import click
import pytest

MOST = 9
PACKAGES = ("resnet_diffeo_probe", "diffeo_probe")


def parameters(function: Callable[..., Any]) -> int:
    return sum(name not in ("self", "cls") for name in inspect.signature(function).parameters)


def functions_of(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield a module's own public functions, methods and commands; the fields of a record are no parameters."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, click.Command) and value.callback is not None:
            value = value.callback  # noqa: PLW2901
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield f"{module.__name__}.{name}", value
        elif inspect.isclass(value):
            for method, function in vars(value).items():
                function = getattr(function, "__func__", function)  # noqa: PLW2901 - of a class or static method
                written = not (method == "__init__" and is_dataclass(value))
                public = method == "__init__" or not method.startswith("_")
                own = getattr(function, "__module__", None) == module.__name__
                if inspect.isfunction(function) and written and public and own:
                    yield f"{module.__name__}.{name}.{method}", function


def modules(package: str) -> Iterator[Any]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_function_takes_more_than_nine_parameters(package: str) -> None:
    found = dict(each for module in modules(package) for each in functions_of(module))
    assert len(found) > 50
    counts = {name: parameters(function) for name, function in found.items()}
    assert not {name: count for name, count in counts.items() if count > MOST}


def test_the_walk_sees_what_users_call() -> None:
    found = dict(each for package in PACKAGES for module in modules(package) for each in functions_of(module))
    assert parameters(found["resnet_diffeo_probe.notebook.analyzing.analyze"]) == 7
    assert parameters(found["diffeo_probe.running.analysis.run_analysis"]) == 4
    assert {
        "resnet_diffeo_probe.analysis.analyze.analyze",
        "resnet_diffeo_probe.analysis.store.store.Store.__init__",
        "resnet_diffeo_probe.notebook.study.Study.report",
        "diffeo_probe.commands.demo.demo",
    } <= set(found)
