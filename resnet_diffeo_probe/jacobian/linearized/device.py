"""Where eliminations run: the CPU, or a CUDA device in float64."""

from __future__ import annotations

import re

import torch

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["compute_device", "device_memory"]


def compute_device(name: str) -> torch.device:
    """Return the device that a user means.

    Args:
        name: `"auto"` (the first GPU, the CPU where there is none), `"cpu"`, `"cuda"` or `"cuda:1"`.

    Raises:
        ConfigurationError: it is none of these, or this machine does not have it.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    found = re.fullmatch(r"cuda(?::(\d{1,4}))?", name)
    if found is None:
        raise ConfigurationError(
            f"device '{name}' is not known", why="there are auto, cpu, cuda and cuda:N", fix="--device auto"
        )
    index = int(found.group(1) or 0)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= available:
        what = "no CUDA device" if not available else f"{available} CUDA device{'s' if available > 1 else ''}"
        raise ConfigurationError(
            f"device '{name}' is not on this machine",
            why=f"torch {torch.__version__} finds {what}",
            fix="--device cpu",
            code="no-such-device",
        )
    return torch.device("cuda", index)


def device_memory(device: torch.device) -> float | None:
    """Return the bytes of memory of a GPU; None for the CPU, which shares the machine's."""
    return float(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else None
