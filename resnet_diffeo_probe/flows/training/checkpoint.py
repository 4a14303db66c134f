"""Keep a training in one file: written whole or not at all, refused where it belongs to something else."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from resnet_diffeo_probe.errors import LoadError, OutputError
from resnet_diffeo_probe.flows.fields.parameters import Parameters, parameter_count
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.training.depth import depth_at
from resnet_diffeo_probe.flows.training.training import Training

__all__ = ["load_training", "save_training"]

FORMAT = 1


def save_training(training: Training, path: Path) -> None:
    """Write the state to a file; an interruption leaves the file of before.

    Raises:
        OutputError: the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "setting": training.setting.to_json(),
        "seeds": list(training.seeds),
        "epoch": training.epoch,
        "updates": training.updates,
        "steps": training.parameters.architecture.steps,
    }
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.savez_compressed(
                file,
                header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
                weights=training.parameters.flat,
                mean=training.mean,
                square=training.square,
                history=training.history,
            )
        unfinished.replace(path)
    except OSError as problem:
        raise OutputError(f"cannot write {path}", why=str(problem), fix="choose another file") from problem


def load_training(
    path: Path, expected: Setting | None = None, seeds: tuple[int, ...] | None = None
) -> Training:
    """Read a state back.

    Args:
        path: a file that `save_training` wrote.
        expected: the setting to go on with; the epochs may differ, nothing else.
        seeds: the seeds to go on with.

    Raises:
        LoadError: not such a file, damaged, or of another setting, architecture or seeds.
    """
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.npz"))[:5] if path.parent.is_dir() else []
        raise LoadError(
            f"no checkpoint at {path}",
            fix=f"there is: {', '.join(near)}" if near else "train first: diffeo-probe spirals train",
            code="file-not-found",
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes().decode())
            arrays = {name: stored[name] for name in ("weights", "mean", "square", "history")}
        if header["format"] != FORMAT:
            raise LoadError(
                f"{path} has format {header['format']}", why=f"this version reads format {FORMAT}"
            )
        setting = Setting.from_json(header["setting"])
        training = _rebuild(setting, header, arrays)
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as problem:
        raise LoadError(
            f"{path} is not a training checkpoint of this program", why=str(problem), fix="train again"
        ) from problem
    _check(path, training, expected, seeds)
    return training


def _rebuild(setting: Setting, header: dict[str, Any], arrays: dict[str, Any]) -> Training:
    epoch, updates, seeds = int(header["epoch"]), int(header["updates"]), tuple(header["seeds"])
    # the depth of the last epoch done: the next one may be due to split, which training does itself
    architecture = depth_at(setting, max(epoch - 1, 0))
    shape = (len(seeds), parameter_count(architecture))
    for name in ("weights", "mean", "square"):
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
    if arrays["history"].shape != (epoch, 3, len(seeds)):
        raise ValueError(f"history has shape {arrays['history'].shape}")
    parameters = Parameters.from_flat(architecture, arrays["weights"])
    return Training(
        setting, seeds, epoch, parameters, arrays["mean"], arrays["square"], updates, arrays["history"]
    )


def _check(path: Path, training: Training, expected: Setting | None, seeds: tuple[int, ...] | None) -> None:
    if expected is not None:
        ours, theirs = expected.to_json(), training.setting.to_json()
        # only plain training can be prolonged: a coarse-to-fine schedule depends on the number of epochs
        ignored = {"epochs"} if not expected.coarse_to_fine else set()
        differing = [key for key in ours if key not in ignored and ours[key] != theirs[key]]
        if differing:
            key = differing[0]
            raise LoadError(
                f"{path} is a training of another {key.replace('_', ' ')}",
                why=f"the file has {theirs[key]}, this run has {ours[key]}",
                fix="give the file's setting, or another file",
                code="checkpoint-mismatch",
            )
        training.setting = expected
    if seeds is not None and tuple(seeds) != training.seeds:
        raise LoadError(
            f"{path} holds other seeds",
            why=f"the file has {list(training.seeds)}, this run has {list(seeds)}",
            fix="give the file's seeds, or another file",
            code="checkpoint-mismatch",
        )
