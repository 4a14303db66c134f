"""What a worker elsewhere is made of: few words and a model, from which it plans as its parent did."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import cloudpickle
import torch
from torch import Tensor, nn

from resnet_diffeo_probe.analysis.measuring.worker import Worker
from resnet_diffeo_probe.analysis.planning.plan import Plan, make_plan, prepared
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError, LoadError
from resnet_diffeo_probe.jacobian.linearized.device import compute_device
from resnet_diffeo_probe.models import LoadedModel, load
from resnet_diffeo_probe.units import discover
from resnet_diffeo_probe.version import program

__all__ = ["ModelFile", "ModelInMemory", "Specification", "built", "packed"]


class Model(Protocol):
    """A model that can be sent."""

    def module(self) -> nn.Module:
        """Return the module, where it has arrived."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model file, loaded again by every worker.

    Attributes:
        path: of the file.
        sha256: of the bytes that the parent loaded; a worker that finds others loads nothing.
        arch: as given to `models.load`.
        trust_pickle: whether the user consented that the file runs code.
        content: the bytes, where workers do not see the parent's disk; else None.
    """

    path: Path
    sha256: str
    arch: str | None = None
    trust_pickle: bool = False
    content: bytes | None = None

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        *,
        arch: str | None = None,
        trust_pickle: bool = False,
        travels: bool = False,
    ) -> ModelFile:
        """Describe a loaded file.

        Args:
            loaded: as `models.load` returned it.
            arch: as it was given to `models.load`.
            trust_pickle: likewise.
            travels: whether the bytes are sent along.

        Raises:
            LoadError: the file changed since, or cannot be read.
        """
        path = loaded.path.absolute()
        model = cls(path, loaded.sha256, arch, trust_pickle)
        return replace(model, content=_checked(path, loaded.sha256)) if travels else model

    def module(self) -> nn.Module:
        """Load the file if it is the one that the parent loaded.

        Raises:
            LoadError: it is another, or cannot be loaded.
        """
        with self._on_disk() as path:
            return load(path, arch=self.arch, trust_pickle=self.trust_pickle).module

    @contextmanager
    def _on_disk(self) -> Iterator[Path]:
        if self.content is None:
            _checked(self.path, self.sha256)
            yield self.path
            return
        if hashlib.sha256(self.content).hexdigest() != self.sha256:
            raise _changed(self.path)
        with tempfile.TemporaryDirectory(prefix="diffeo-probe-") as folder:
            # the suffix is part of what a loader looks at, the rest of the name is not
            path = Path(folder) / f"model{self.path.suffix}"
            path.write_bytes(self.content)
            yield path


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path} cannot be read any more", why=str(error.strerror or error)) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed(path)
    return content


def _changed(path: Path) -> LoadError:
    return LoadError(
        f"{path} is not the file that the analysis began with",
        why="its SHA-256 differs: it was written to since, or another machine has another file under this path",
        fix="analyse it again from the start",
    )


@dataclass(frozen=True, eq=False)
class ModelInMemory:
    """A module that has no file; its class is sent by name where workers can import it, else by value.

    Attributes:
        itself: the module.
    """

    itself: nn.Module

    def module(self) -> nn.Module:
        """Return the module as it arrived."""
        return self.itself


@dataclass(frozen=True, eq=False)
class Specification:
    """Everything a worker needs to know.

    Attributes:
        model: where the module comes from.
        example: (1, *shape), float32: the first input, at which the units are found.
        settings: of the analysis.
        units: names of the parent's units, which the worker must find too.
        program: the version and source of this package, which a worker must have too.
    """

    model: Model
    example: Tensor
    settings: Settings
    units: tuple[str, ...]
    program: str = field(default_factory=program)

    @classmethod
    def of(cls, model: Model, example: Tensor, plan: Plan) -> Specification:
        """Describe what the parent planned.

        Args:
            model: where the module comes from.
            example: (1, *shape), float32: what the parent found the units at.
            plan: what it planned.
        """
        # what "auto" means is decided once, not by every machine for itself
        settings = replace(plan.settings, device=str(compute_device(plan.settings.device)))
        return cls(model, example.detach().clone(), settings, tuple(p.unit.name for p in plan.units))

    def worker(self, *, threads: int = 1, max_bytes: float | None = None) -> Worker:
        """Build the worker: load the model, find its units, plan and prepare.

        Args:
            threads: that are going to use it.
            max_bytes: memory that all of them together may take for factors; None: as the settings say.

        Raises:
            DiffeoProbeError: the model cannot be loaded here, or is another one here than at the parent.
        """
        self._check(self.program, program(), "source")
        settings = replace(
            self.settings, workers=threads, max_bytes=self.settings.memory if max_bytes is None else max_bytes
        )
        discovery = discover(self.model.module(), self.example)
        exact = discovery.to(dtype=getattr(torch, settings.dtype))
        self._check(self.units, tuple(unit.name for unit in exact.units), "units")
        return Worker(exact, prepared(make_plan(exact, settings)), threads=threads)

    def _check(self, here: object, there: object, what: str) -> None:
        if here != there:
            raise ConfigurationError(
                f"a worker has other {what} than this analysis",
                why=f"{there} there, {here} here",
                fix="install the same versions of resnet-diffeo-probe and torch on every machine",
            )


def packed(specification: Specification) -> bytes:
    """Return the specification as bytes, to be sent to a worker of our own.

    Raises:
        ConfigurationError: the module cannot be sent.
    """
    try:
        return cloudpickle.dumps(specification)
    except Exception as error:  # a module may hold anything: locks, files, compiled code
        raise ConfigurationError(
            "this module cannot be sent to another process",
            why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            fix="save it to a file and analyse that, or measure in threads of this process",
        ) from None


def built(content: bytes, *, threads: int = 1, max_bytes: float | None = None) -> Worker | DiffeoProbeError:
    """Return a worker from a packed specification, or why there is none.

    Args:
        content: as `packed` made it; only ever from the parent, since it can run code.
        threads: as for `Specification.worker`.
        max_bytes: likewise.
    """
    try:
        specification = pickle.loads(content)  # noqa: S301 - sent by the process that started this one
        return specification.worker(threads=threads, max_bytes=max_bytes)
    except DiffeoProbeError as error:
        return error
    except Exception as error:
        return ConfigurationError(
            "a worker cannot be made ready",
            why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            fix="measure in threads of this process: --workers 1",
        )
