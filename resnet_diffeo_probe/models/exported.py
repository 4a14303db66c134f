"""Exported programs (.pt2): a graph of operators with its weights, as `torch.export.save` writes it."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.exported_archive import Archive, suspicions

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["read_exported"]

_EXPORT_AGAIN = (
    "export it again on the CPU in float32: "
    'torch.export.save(torch.export.export(model.eval().cpu().float(), (example,)), "model.pt2")'
)


def read_exported(
    path: Path, *, arch: str | None, trust_pickle: bool
) -> tuple[Architecture, tuple[str, ...]]:
    """Return the graph module of an exported program.

    Args:
        path: the archive.
        arch: not needed; if given, a note says so.
        trust_pickle: whether the archive may run code while it is loaded; without, one that could is refused.

    Returns:
        The architecture with its weights in it, and notes.

    Raises:
        LoadError: the archive is damaged, could run code, was exported in training mode, in another precision or for
            more than one input, or by an incompatible version of PyTorch.
    """
    archive = _opened(path, trust_pickle=trust_pickle)
    if archive is not None:
        with _making_sense(path):
            _check_archive(archive, path, trust_pickle=trust_pickle)
    program = _load(archive.data if archive is not None else path.read_bytes(), path)
    with _making_sense(path):
        notes = (
            [f"exported with PyTorch {archive.model.get('torch_version', '')}".rstrip()]
            if archive is not None
            else []
        )
        if arch is not None:
            notes.append(f"the file holds the graph itself, so the architecture {arch!r} was not needed")
        return _described(program, archive, path, notes), tuple(notes)


def _opened(path: Path, *, trust_pickle: bool) -> Archive | None:
    """Return the archive; None for one of the older format, which only trust opens."""
    try:
        return Archive(path.read_bytes())
    except Exception as error:  # torch's reader fails in many ways on damaged files
        if trust_pickle:
            return None
        lines = str(error).strip().splitlines()
        raise LoadError(
            f"{path} is a damaged exported program, or one of before PyTorch 2.8",
            why=lines[0][:200] if lines else type(error).__name__,
            fix=_EXPORT_AGAIN,
            code="exported-unreadable",
        ) from error


@contextmanager
def _making_sense(path: Path) -> Iterator[None]:
    """Turn whatever fails on an archive's contents, which may be anything, into an error of the file."""
    try:
        yield
    except LoadError:
        raise
    except Exception as error:
        raise _damaged(
            path, f"its contents make no sense: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def _check_archive(archive: Archive, path: Path, *, trust_pickle: bool) -> None:
    """Raise for an archive that could run code, or that is no network in evaluation mode with its weights."""
    if not trust_pickle and (found := suspicions(archive)):
        raise LoadError(
            f"{path} could run code while it is loaded, so it was not opened",
            why="beside a plain graph it holds "
            + "; ".join(found[:3])
            + (f"; and {len(found) - 3} more" if len(found) > 3 else ""),
            fix="if you trust whoever made the file, pass --trust-pickle (trust_pickle=True): it may then run "
            f"any code; otherwise {_EXPORT_AGAIN}",
            code="exported-not-trusted",
        )
    _check_graph(archive, path)
    if empty := archive.empty_weights():
        raise _damaged(path, f"the weights {', '.join(empty[:5])} are empty")


def _damaged(path: Path, why: str) -> LoadError:
    return LoadError(
        f"{path} is a damaged exported program", why=why, fix=_EXPORT_AGAIN, code="exported-unreadable"
    )


def _check_graph(archive: Archive, path: Path) -> None:
    """Raise for an archive without a graph, and for one whose graph is that of training."""
    if not archive.nodes():
        raise LoadError(
            f"{path} holds no graph of operators",
            why="it is a package of compiled code or of weights"
            if not archive.model
            else "its graph is empty",
            fix=_EXPORT_AGAIN,
            code="exported-no-graph",
        )
    for node in archive.nodes():
        for argument in node.get("inputs", []):
            if (
                argument.get("name") in {"training", "train"}
                and argument.get("arg", {}).get("as_bool") is True
            ):
                raise LoadError(
                    f"{path} was exported in training mode",
                    why=f"{node['target']} uses the statistics of its batch or drops values at random, "
                    "so the map of one input depends on the others",
                    fix=_EXPORT_AGAIN,
                    code="exported-in-training-mode",
                )


def _load(data: bytes, path: Path) -> ExportedProgram:
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            return torch.export.load(io.BytesIO(data))
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise LoadError(
            f"{path} is an exported program that this PyTorch ({torch.__version__}) cannot load",
            why=lines[0][:200] if lines else type(error).__name__,
            fix=_EXPORT_AGAIN,
            code="exported-unreadable",
        ) from error


def _described(
    program: ExportedProgram, archive: Archive | None, path: Path, notes: list[str]
) -> Architecture:
    """Return the module with what the graph says about its input and output."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = [values.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inputs[0].dim() != 4:
        shapes = [list(v.shape) if isinstance(v, Tensor) else type(v).__name__ for v in inputs]
        raise LoadError(
            f"{path} does not take one batch of images",
            why=f"its inputs are {shapes}",
            fix="export a network whose only input is a tensor (N, C, H, W)",
            code="exported-inputs",
        )
    _check_precision(program, path)
    batch, *image = inputs[0].shape
    if isinstance(batch, int):
        notes.append(f"exported for a batch of exactly {batch}")
    shape = (image[0], image[1], image[2]) if all(isinstance(side, int) for side in image) else None
    outputs = [values.get(name) for name in program.graph_signature.user_outputs if isinstance(name, str)]
    classes: Any = (
        outputs[0].shape[1] if outputs and isinstance(outputs[0], Tensor) and outputs[0].dim() == 2 else None
    )
    return Architecture(
        # guards would be compiled from text in the file; a wrong shape fails in its operator instead
        module=program.module(check_guards=False),
        name=_class_name(archive),
        num_classes=classes if isinstance(classes, int) else None,
        input_shape=shape,
    )


def _check_precision(program: ExportedProgram, path: Path) -> None:
    for name, tensor in program.state_dict.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise LoadError(
                f"{path} was exported in {str(tensor.dtype).removeprefix('torch.')}",
                why=f"{name} has this type, and the graph may convert to it, so it cannot be widened afterwards",
                fix=_EXPORT_AGAIN,
                code="exported-precision",
            )


def _class_name(archive: Archive | None) -> str:
    """Return "exported resnet.ResNet": the class that the graph was traced from, as its own metadata say."""
    for node in archive.nodes() if archive is not None else []:
        stack = str(node.get("metadata", {}).get("nn_module_stack", "")).split(";")[0]
        if stack.count(",") == 2:
            return "exported " + ".".join(stack.rpartition(",")[2].split(".")[-2:])
    return "exported program"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging a traceback of what becomes an error message of ours."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
