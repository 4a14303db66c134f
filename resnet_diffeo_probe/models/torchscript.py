"""TorchScript archives: programs, opened with consent only, and then for their weights.

A TorchScript archive holds code as well as weights. Running it can read and write files (`aten::from_file`), and
loading it runs what `__setstate__` methods it defines, so it is treated like a pickle. The tape that finds residual
units cannot see into compiled code either, which is why the weights are moved into an ordinary module.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.state_dict import StateDict, find

__all__ = ["read_torchscript"]


def read_torchscript(path: Path, *, trust_pickle: bool) -> StateDict:
    """Return the weights in a TorchScript archive.

    Args:
        path: the archive.
        trust_pickle: whether it may run code while it is loaded.

    Raises:
        LoadError: without consent, or if the archive cannot be read.
    """
    if not trust_pickle:
        raise LoadError(
            f"{path} is a TorchScript archive, which can run code while it is loaded, so it was not opened",
            why="TorchScript holds a program beside the weights, and this tool reads the weights alone",
            fix='where the model came from: torch.save(torch.jit.load(FILE).state_dict(), "weights.pt"); '
            "or, if you trust whoever made the file, pass --trust-pickle (trust_pickle=True)",
            code="torchscript-not-trusted",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch.jit is deprecated; the user cannot change how the file was made
            script = torch.jit.load(str(path), map_location="cpu")
            tensors = dict(script.state_dict())
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise LoadError(
            f"{path} is a TorchScript archive that PyTorch cannot load",
            why=lines[0][:200] if lines else type(error).__name__,
            fix="load it with the version of PyTorch that made it, and save its state_dict() from there",
            code="torchscript-unreadable",
        ) from error
    found = find(tensors, path)
    found.notes.append(
        "only the weights of the TorchScript archive are used; its own code is not run by the probe"
    )
    return found
