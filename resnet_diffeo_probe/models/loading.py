"""The way from a path to a module: what the file is, what lies in it, which network it belongs to."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.exported import read_exported
from resnet_diffeo_probe.models.file_kind import FileKind, identify
from resnet_diffeo_probe.models.inference import infer
from resnet_diffeo_probe.models.loaded import LoadedModel
from resnet_diffeo_probe.models.matching import fill
from resnet_diffeo_probe.models.named import build_named
from resnet_diffeo_probe.models.state_dict import StateDict, check_finite, find
from resnet_diffeo_probe.models.torch_file import read_checkpoint, read_safetensors
from resnet_diffeo_probe.models.torchscript import read_torchscript

__all__ = ["load"]


def load(path: str | Path, *, arch: str | None = None, trust_pickle: bool = False) -> LoadedModel:
    """Read a model file.

    State dicts (also nested in a checkpoint, with wrappers' prefixes, in half precision, in old formats, in
    safetensors), exported programs and, with consent, pickled modules and TorchScript. The global random state
    and the default dtype are left as they were.

    Args:
        path: the file.
        arch: the network that a state dict belongs to: a torchvision name, `cifar_resnet20` and the like, or
            `package.module:factory`. None: inferred from names and shapes.
        trust_pickle: whether the file may run code while it is read. Nothing is ever run without.

    Returns:
        The module in evaluation mode on the CPU in float32, with its provenance.

    Raises:
        LoadError: the file cannot be made into a module.
        ConfigurationError: `arch` names nothing that can be built.
    """
    path = Path(path)
    with suppress(RuntimeError):  # "~nobody": no such user, so it is a name like any other
        path = path.expanduser()
    with _global_state_kept():
        kind = identify(path)
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if kind is FileKind.EXPORTED:
            network, notes = read_exported(path, arch=arch, trust_pickle=trust_pickle)
            file_format = kind.value
        else:
            found = _read_weights(path, kind, trust_pickle=trust_pickle)
            file_format = _describe(kind, found)
            network = _network(found, path, arch)
            notes = tuple(found.notes)
        module = network.module.float()
        if kind is not FileKind.EXPORTED:  # an exported graph is fixed in the mode of its export
            module = module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        # a mask may hold -inf on purpose; running statistics may not
        running = {n: b for n, b in module.named_buffers() if "running_" in n}
        check_finite({**dict(module.named_parameters()), **running}, path)
    return LoadedModel(
        module=module,
        path=path,
        sha256=sha256,
        format=file_format,
        architecture=network.name,
        architecture_assumed=network.assumed,
        notes=notes + network.notes,
        num_classes=network.num_classes,
        input_shape=network.input_shape,
        parameters=sum(p.numel() for p in module.parameters()),
    )


def _read_weights(path: Path, kind: FileKind, *, trust_pickle: bool) -> StateDict:
    """Return the state dict (or the trusted module) in a file of any kind but an exported program."""
    if kind is FileKind.SAFETENSORS:
        tensors, metadata = read_safetensors(path)
        found = find(tensors, path)
        found.metadata = metadata
        return found
    if kind is FileKind.TORCHSCRIPT:
        return read_torchscript(path, trust_pickle=trust_pickle)
    return find(read_checkpoint(path, kind, trust_pickle=trust_pickle), path)


def _network(found: StateDict, path: Path, arch: str | None) -> Architecture:
    """Return the network with the weights in it."""
    if found.module is not None:
        return _own_module(found, arch)
    check_finite(found.tensors, path)
    if arch is None:
        network = infer(found.tensors, path)
        fill(network.module, found.tensors, network.name, path)
    else:
        network = _named(arch, found, path)
    shape = _shape_in(found.metadata)
    if shape is None:
        return network
    notes = (*network.notes, "the image size is the one recorded in the file's metadata")
    return Architecture(network.module, network.name, network.assumed, notes, network.num_classes, shape)


def _named(arch: str, found: StateDict, path: Path) -> Architecture:
    """Return the network of this name with the weights in it; if they do not fit, say which network they would."""
    network = build_named(arch, found.tensors)
    try:
        fill(network.module, found.tensors, network.name, path)
    except LoadError as error:
        try:
            other = infer(found.tensors, path)
        except LoadError:
            raise error from None
        fix = f"leave --arch out: their names and shapes are those of {other.name}"
        raise LoadError(error.what, why=error.why, fix=fix, code=error.code) from None
    return network


def _own_module(found: StateDict, arch: str | None) -> Architecture:
    """Return a pickled module as it is."""
    assert found.module is not None  # noqa: S101 - for the type checker
    module = found.module
    if arch is not None:
        found.notes.append(f"the file holds the module itself, so the architecture {arch!r} was not needed")
    if isinstance(module, nn.DataParallel):
        module = module.module
        found.notes.append("taken out of torch.nn.DataParallel")
    odd = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.dtype != torch.float32}
    if odd:
        found.notes.append(f"parameters in {', '.join(sorted(odd))} were converted to float32")
    head = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    name = f"{type(module).__module__}.{type(module).__qualname__} (pickled)"
    return Architecture(module.cpu(), name, num_classes=head[-1].out_features if head else None)


def _describe(kind: FileKind, found: StateDict) -> str:
    """Return the format in plain words."""
    if found.module is not None:
        what = f"pickled module ({kind.value})"
        return f"{what} under {found.where}" if found.where else what
    if found.where:
        return f"state dict nested in a checkpoint ({found.where})"
    return f"state dict ({kind.value})"


def _shape_in(metadata: dict[str, str]) -> tuple[int, int, int] | None:
    """Return the image shape that safetensors metadata records as `input_shape`: "1,16,16"."""
    parts = metadata.get("input_shape", "").split(",")
    if len(parts) == 3 and all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        return int(parts[0]), int(parts[1]), int(parts[2])
    return None


@contextmanager
def _global_state_kept() -> Iterator[None]:
    """Keep the caller's random generators and default dtype, whatever a factory does to them."""
    dtype = torch.get_default_dtype()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
