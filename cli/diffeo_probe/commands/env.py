"""`diffeo-probe env`."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from io import StringIO
from json import dumps
from typing import Any

import click

from diffeo_probe import terminal
from resnet_diffeo_probe import __version__

__all__ = ["env", "environment"]

#: What is found and used where it is installed.
_OPTIONAL = ("numba", "pandas", "timm", "transformers", "distributed", "dask-jobqueue")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@click.command(short_help="Versions, linear algebra, cores, memory and devices, for a report of a bug.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of lines.")
def env(json: bool) -> int:
    """Print what diffeo-probe runs on here. A library that is missing or broken is a line, not an error."""
    found = environment()
    if json:
        click.echo(dumps(found, indent=1))
        return 0
    for title, part in found.items():
        if isinstance(part, dict):
            click.echo(f"{title.replace('_', ' ')}:")
            width = max((len(key) for key in part), default=0)
            for key, value in part.items():
                click.echo(f"  {key.ljust(width)}  {_written(value)}")
        elif isinstance(part, list):
            click.echo(f"{title.replace('_', ' ')}:" + ("" if part else " none"))
            for line in part:
                click.echo(f"  {_written(line)}")
        else:
            click.echo(f"{title.replace('_', ' ')}: {_written(part)}")
    return 0


def environment() -> dict[str, Any]:
    """Return what this process runs on; null or a text with the reason where something cannot be found out."""
    return {
        "diffeo_probe": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": _tried(_cores),
        "memory_gib": _tried(_memory),
        "libraries": _tried(_libraries),
        "optional": {name: _version(name) for name in _OPTIONAL},
        "linear_algebra": _tried(_linear_algebra),
        "devices": _tried(_devices),
        "variables": dict(_variables()),
    }


def _written(value: Any) -> str:
    return "not installed" if value is None else terminal.printable(str(value))


def _libraries() -> dict[str, str | None]:
    """Return the versions of what this package requires, by its own metadata; nothing is imported."""
    required = metadata.requires("resnet-diffeo-probe") or []
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tried(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, or why it fails: importing a broken library may raise anything, and talk."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return look()
    except (Exception, SystemExit) as error:
        first = (str(error).splitlines() or [""])[0]
        return f"cannot be found out: {type(error).__name__}: {first}"


def _cores() -> dict[str, int | None]:
    # not every system says which cores a process may use
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "of_the_machine": os.cpu_count(),
        "usable": len(usable(0)) if usable is not None else os.cpu_count(),
    }


def _memory() -> float:
    from resnet_diffeo_probe.analysis.result.memory import physical_memory

    return round(physical_memory() / 2**30, 2)


def _linear_algebra() -> list[str]:
    import numpy  # noqa: F401 - its linear algebra is what is listed
    import scipy.linalg  # noqa: F401 - and scipy's own
    from threadpoolctl import threadpool_info

    return [
        f"{pool['internal_api']} {pool['version'] or 'of unknown version'}, {pool['num_threads']} threads"
        + (f", {pool['architecture']}" if pool.get("architecture") else "")
        for pool in threadpool_info()
    ]


def _devices() -> list[str]:
    import torch

    found = [f"cpu: {torch.get_num_threads()} threads of torch, {torch.backends.cpu.get_cpu_capability()}"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append(
            f"cuda:{index}: {about.name}, {about.total_memory / 2**30:.1f} GiB, "
            f"compute capability {about.major}.{about.minor}"
        )
    if torch.backends.mps.is_available():
        found.append("mps: not used, float64 is missing there")
    return found


def _variables() -> Iterator[tuple[str, str]]:
    for name in sorted(os.environ):
        if name in _VARIABLES or name.startswith("DIFFEO_PROBE_"):
            yield name, os.environ[name]
