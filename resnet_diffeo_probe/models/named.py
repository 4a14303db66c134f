"""`--arch`: the name of a network → the network."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.cifar_inference import image_shape, infer_cifar
from resnet_diffeo_probe.models.cifar_resnet import CifarResNet
from resnet_diffeo_probe.models.factory import call_factory, find_factory
from resnet_diffeo_probe.models.key_layout import read_layout
from resnet_diffeo_probe.models.matching import compare

__all__ = ["build_named"]

_CIFAR = re.compile(r"cifar_resnet(\d+)")
_CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # the networks of He et al. (2015), table 6


def build_named(arch: str, tensors: Mapping[str, Tensor]) -> Architecture:
    """Return the network of this name, with as many classes as the weights have.

    Args:
        arch: `resnet50` or any other classification network of torchvision, `cifar_resnet20` (any 6n + 2), or
            `package.module:factory`, called with `num_classes` if it takes that.
        tensors: the weights that it is meant for.

    Raises:
        ConfigurationError: there is no such network, or building it failed.
    """
    arch = arch.strip()
    if ":" in arch:
        parameter = _parameter(arch)
        module = _with_classes_of(
            functools.partial(call_factory, arch),
            takes=parameter is not None,
            needs=parameter is not None and parameter.default is inspect.Parameter.empty,
            tensors=tensors,
        )
        return Architecture(module, arch, num_classes=_classes(module))
    if match := _CIFAR.fullmatch(arch):
        return _cifar(arch, int(match[1]), tensors)
    return _torchvision(arch, tensors)


def _cifar(arch: str, depth: int, tensors: Mapping[str, Tensor]) -> Architecture:
    """Return the CIFAR ResNet of this depth; the option and the head's name are those of the weights."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ConfigurationError(
            f"there is no {arch}",
            why="a CIFAR ResNet's depth is 6n + 2: three stages of n blocks of two convolutions, stem and head",
            fix=f"--arch cifar_resnet{6 * max(1, round((depth - 2) / 6)) + 2}",
            code="unknown-architecture",
        )
    layout = read_layout(tensors)
    inferred = infer_cifar(layout) if layout is not None else None
    if layout is not None and inferred is not None and layout.depths == (blocks,) * 3:
        notes = tuple(note for note in inferred.notes if "option A" in note)
        return Architecture(
            inferred.module, inferred.name, False, notes, inferred.num_classes, inferred.input_shape
        )
    with torch.device("meta"):
        module = CifarResNet((blocks,) * 3, head=layout.head if layout else "linear")
    return Architecture(module, f"{arch} (option A)", num_classes=10, input_shape=image_shape(3))


def _torchvision(arch: str, tensors: Mapping[str, Tensor]) -> Architecture:
    """Return torchvision's network of this name, without pretrained weights: nothing is downloaded."""
    from torchvision import models  # noqa: PLC0415 - slow to import

    known = models.list_models()
    name = arch.removeprefix("torchvision.models.").removeprefix("torchvision.")
    if name not in known:
        raise _unknown(arch, known)
    if name.startswith("quantized_"):
        raise ConfigurationError(
            f"{arch} cannot be probed",
            why="a quantised network is piecewise constant: its Jacobian is zero or undefined",
            fix=f"give the float weights with --arch {name.removeprefix('quantized_')}",
            code="unknown-architecture",
        )
    builder = models.get_model_builder(name)
    accepted = inspect.signature(builder).parameters
    fixed: dict[str, Any] = {"weights": None}
    if "weights_backbone" in accepted:
        fixed["weights_backbone"] = None
    if name in {"googlenet", "inception_v3"}:
        fixed["init_weights"] = False  # slow, and the weights are replaced anyway

    def build(**keywords: Any) -> nn.Module:
        return builder(**fixed, **keywords)

    module = _with_classes_of(build, takes=True, needs=False, tensors=tensors)
    size = 299 if name == "inception_v3" else 224
    # networks for video, segmentation and detection have no usual image size
    shape = (3, size, size) if name in models.list_models(module=models) else None
    return Architecture(module, f"torchvision {name}", num_classes=_classes(module), input_shape=shape)


def _with_classes_of(
    build: Callable[..., nn.Module], *, takes: bool, needs: bool, tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Build a network, again with the weights' number of classes if nothing else is different.

    Args:
        build: makes the network.
        takes: whether it takes `num_classes`.
        needs: whether it cannot be called without.
        tensors: the weights.
    """
    if needs:
        # nothing to compare with: the last matrix of a classifier is its head
        matrices = [t for n, t in tensors.items() if n.endswith("weight") and t.dim() == 2]
        return build(num_classes=int(matrices[-1].shape[0])) if matrices else build()
    module = build()
    if not takes:
        return module
    # the head's weight and bias have another first dimension, and the same one
    changes = {
        (got[0], own[0]) if got[1:] == own[1:] and got and own else None
        for _, got, own in compare(tensors, module).wrong_shape
    }
    change = changes.pop() if len(changes) == 1 else None
    return build(num_classes=change[0]) if change is not None else module


def _parameter(arch: str) -> inspect.Parameter | None:
    """Return the factory's parameter `num_classes`, if it has one."""
    factory = find_factory(arch)
    try:
        return inspect.signature(factory).parameters.get("num_classes")
    except (TypeError, ValueError):  # some callables written in C have no signature
        return None


def _classes(module: nn.Module) -> int | None:
    """Return the outputs of the last linear layer, if there is one."""
    heads = [layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear)]
    return heads[-1] if heads else None


def _unknown(arch: str, known: list[str]) -> ConfigurationError:
    names = [*known, *(f"cifar_resnet{depth}" for depth in _CIFAR_DEPTHS)]
    plain = {re.sub("[^a-z0-9]", "", name): name for name in names}
    text = re.sub("[^a-z0-9]", "", arch.lower())
    inside = sorted((key for key in plain if text and text in key), key=len)
    close = [key for key in difflib.get_close_matches(text, plain, n=3, cutoff=0.5) if key not in inside]
    near = [plain[key] for key in (inside + close)[:3]]
    package, _, last = arch.rpartition(".")
    if package and last.isidentifier():
        fix = f"a function of yours is written with a colon: --arch {package}:{last}"
    elif near:
        fix = f"did you mean --arch {near[0]}?" + (f" Also close: {', '.join(near[1:])}" if near[1:] else "")
    else:
        fix = "give a torchvision name such as resnet50, cifar_resnet20, or package.module:factory"
    return ConfigurationError(
        f"no architecture is called {arch!r}",
        why="it is no classification network of torchvision and no CIFAR ResNet",
        fix=fix,
        code="unknown-architecture",
    )
