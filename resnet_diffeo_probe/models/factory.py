"""`--arch package.module:factory`: a user's own function that builds the network."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["call_factory", "find_factory"]


def find_factory(arch: str) -> Callable[..., Any]:
    """Import and return what `package.module:factory` names; the working folder is searched too.

    Raises:
        ConfigurationError: it cannot be imported, does not exist, or is not callable.
    """
    package, _, attribute = arch.partition(":")
    if not package or not attribute:
        raise ConfigurationError(
            f"{arch!r} is not of the form package.module:factory",
            why="the module stands before the colon, the function or class after it",
            fix="e.g. --arch my_models:make_resnet",
            code="unknown-architecture",
        )
    with _working_folder_importable():
        try:
            target: Any = importlib.import_module(package)
        except ModuleNotFoundError as error:
            own = error.name is not None and (package == error.name or package.startswith(error.name + "."))
            raise ConfigurationError(
                f"--arch {arch}: there is no module {error.name!r} to import",
                why=f"Python looked in {Path.cwd()} and in the installed packages"
                if own
                else f"{package} itself imports it",
                fix="run the command in the folder that holds it, set PYTHONPATH, or install its package",
                code="architecture-import",
            ) from error
        except (Exception, SystemExit) as error:  # whatever the user's module does on import
            raise ConfigurationError(
                f"--arch {arch}: importing {package} failed",
                why=f"{type(error).__name__}: {error}",
                fix=f'mend it until this runs: python -c "import {package}"',
                code="architecture-import",
            ) from error
    for part in attribute.split("."):
        if not hasattr(target, part):
            public = [
                name for name in vars(target) if not name.startswith("_") and callable(getattr(target, name))
            ]
            raise ConfigurationError(
                f"--arch {arch}: {package} has no {attribute!r}",
                why="it has " + ", ".join(public[:8]) if public else "it defines no function or class",
                fix="name a function or class of that module after the colon",
                code="architecture-import",
            )
        target = getattr(target, part)
    if not callable(target):
        raise ConfigurationError(
            f"--arch {arch}: {attribute} is a {type(target).__name__}, not a function",
            why="it is called to build the network",
            fix="name a function or a class that returns a torch.nn.Module",
            code="architecture-import",
        )
    return target


def call_factory(arch: str, **keywords: Any) -> nn.Module:
    """Return the network that `package.module:factory` builds, on the CPU.

    Raises:
        ConfigurationError: it fails, or what it returns is no `torch.nn.Module`.
    """
    factory = find_factory(arch)
    call = f"{arch.partition(':')[2]}({', '.join(f'{k}={v!r}' for k, v in keywords.items())})"
    try:
        with _working_folder_importable():
            module = factory(**keywords)
    except (Exception, SystemExit) as error:  # the user's code: anything may happen
        raise ConfigurationError(
            f"--arch {arch}: {call} failed",
            why=f"{type(error).__name__}: {error}",
            fix="give a factory that can be called without arguments (or with num_classes alone)",
            code="architecture-factory",
        ) from error
    if not isinstance(module, nn.Module):
        raise ConfigurationError(
            f"--arch {arch}: {call} returned a {type(module).__name__}, not a torch.nn.Module",
            why="the network itself is needed, to put the weights into",
            fix="return the module from the factory",
            code="architecture-factory",
        )
    return module if any(p.is_meta for p in module.parameters()) else module.cpu()


@contextlib.contextmanager
def _working_folder_importable() -> Iterator[None]:
    """Let imports see the working folder, as `python -c` does and an installed command does not."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
