"""From a bare state dict to the architecture that it fits, by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.cifar_inference import infer_cifar
from resnet_diffeo_probe.models.key_layout import KeyLayout, read_layout
from resnet_diffeo_probe.models.matching import Mismatch, compare
from resnet_diffeo_probe.models.torchvision_inference import infer_torchvision

__all__ = ["infer"]

_ARCH_HINT = (
    "name the architecture: --arch NAME for one of torchvision's or cifar_resnet20, "
    "or --arch package.module:factory for a function of yours that builds the network"
)


def infer(tensors: Mapping[str, Tensor], path: Path) -> Architecture:
    """Return the one architecture whose every name and shape is that of the weights, on the meta device.

    Args:
        tensors: name → tensor, without wrappers' prefixes.
        path: the file, for messages.

    Raises:
        LoadError: none fits; the message says what could be read from the names, and the `--arch` to give.
    """
    layout = read_layout(tensors)
    if layout is None:
        raise _unrecognised(tensors, path)
    nearest: tuple[Architecture, Mismatch] | None = None
    try:
        candidates = (infer_cifar(layout), infer_torchvision(layout, tensors))
    except (
        ValueError,
        ZeroDivisionError,
        RuntimeError,
    ) as error:  # shapes that make no network, e.g. width 0
        raise _no_fit(layout, path, str(error)) from error
    for candidate in candidates:
        if candidate is None:
            continue
        mismatch = compare(tensors, candidate.module)
        if not mismatch:
            return candidate
        nearest = candidate, mismatch
    if nearest is not None:
        raise _no_fit(layout, path, f"{nearest[0].name} comes nearest, but: {nearest[1]}")
    raise _no_fit(layout, path, _explain(layout))


def _explain(layout: KeyLayout) -> str:
    """Return why a network with stages is none of the known families."""
    if layout.stem[2:] == (3, 3) and len(layout.depths) == 4 and not layout.bottleneck:
        return "whether a pooling follows this 3×3 stem does not show in the weights, and changes the map"
    if not layout.stem_norm:
        return "there is no bn1 after the stem, so it may be a pre-activation network; whose, the names do not say"
    return "no ResNet of torchvision or of He et al. (2015), section 4.2, is built like this"


def _no_fit(layout: KeyLayout, path: Path, why: str) -> LoadError:
    return LoadError(
        f"{path} holds weights of a ResNet that is not recognised",
        why=f"{layout}; {why}",
        fix=_ARCH_HINT,
        code="architecture-not-recognised",
    )


def _unrecognised(tensors: Mapping[str, Tensor], path: Path) -> LoadError:
    shown = [f"{name} {list(t.shape)}" for name, t in list(tensors.items())[:5]]
    return LoadError(
        f"{path} holds weights without an architecture, and their names are not those of a known ResNet",
        why=f"{len(tensors)} tensors, the first are {', '.join(shown)}; "
        "a ResNet's begin with conv1, bn1, layer1.0.conv1",
        fix=_ARCH_HINT,
        code="architecture-not-recognised",
    )
