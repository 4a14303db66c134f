"""A model is borrowed for a forward pass and handed back exactly as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["borrowed"]


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode without gradients, and undo everything that happens to it meanwhile.

    Training flags are set one by one, not by calling `model.eval()`, which some models override with side
    effects. Undone: flags, buffers, attributes that a forward pass caches, and the random state of Python,
    NumPy and torch. Parameters are restored by object; a forward pass that writes into a parameter's memory
    is not undone.

    Args:
        model: the module; in eval mode inside the block.

    Yields:
        Nothing.
    """
    modules = list(model.modules())
    flags = [module.training for module in modules]
    attributes = [_attributes(module) for module in modules]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    random_state = _random_state()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        # the fused attention layer would hide its additions
        torch.backends.mha.set_fastpath_enabled(False)
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, kept in zip(modules, attributes, strict=True):
            _restore_attributes(module, kept)
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
        with torch.no_grad():
            for buffer, content in buffers:
                if not buffer.is_meta and not _same(buffer, content):
                    buffer.copy_(content)
        _restore_random_state(random_state)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Return each attribute with a shallow copy of it where it is a container."""
    containers = (
        list,
        dict,
        set,
    )  # OrderedDict and the registries of parameters, buffers and hooks are dicts
    return {
        name: (value, copy.copy(value) if isinstance(value, containers) else None)
        for name, value in vars(module).items()
    }


def _restore_attributes(module: nn.Module, kept: dict[str, tuple[Any, Any]]) -> None:
    present = vars(module)
    for name in [name for name in present if name not in kept]:
        del present[name]
    for name, (value, content) in kept.items():
        if present.get(name) is not value:
            present[name] = value
        if content is None or _unchanged(value, content):
            continue
        if isinstance(value, list):
            value[:] = content
        else:
            value.clear()
            value.update(content)


def _unchanged(container: Any, content: Any) -> bool:
    """Compare by identity: elements may be tensors, which do not compare to one truth value."""
    if isinstance(container, dict):
        same_keys = list(container) == list(content)
        return same_keys and all(container[key] is content[key] for key in container)
    if isinstance(container, set):
        return bool(container == content)
    return len(container) == len(content) and all(a is b for a, b in zip(container, content, strict=True))


def _random_state() -> tuple[Any, ...]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def _restore_random_state(state: tuple[Any, ...]) -> None:
    python, numpy, torch_state, devices = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(torch_state)
    if devices is not None:
        torch.cuda.set_rng_state_all(devices)
