"""Which CIFAR ResNet (He et al. 2015, section 4.2) a state dict belongs to."""

from __future__ import annotations

import torch

from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.cifar_resnet import CifarResNet
from resnet_diffeo_probe.models.key_layout import KeyLayout

__all__ = ["image_shape", "infer_cifar"]

_WIDTHS = (16, 32, 64)


def infer_cifar(layout: KeyLayout) -> Architecture | None:
    """Return the CIFAR ResNet of this layout on the meta device, or None if it is none.

    Two or more stages of basic blocks behind a 3×3 stem with batch norm. Four stages are only taken in the
    spelling `shortcut` and `linear`: those with torchvision's names exist with and without a pooling after the
    stem, which the weights do not tell. The caller still has to compare every name and shape.
    """
    if layout.bottleneck or layout.stem[2:] != (3, 3) or not layout.stem_norm:
        return None
    torchvision_names = layout.shortcut == "downsample" or (layout.shortcut is None and layout.head == "fc")
    if len(layout.depths) > 3 and torchvision_names:
        return None
    option = "A" if layout.shortcut is None else "B"
    if option == "A" and any(b < a for a, b in zip(layout.widths, layout.widths[1:], strict=False)):
        return None  # zero padding cannot remove channels
    with torch.device("meta"):
        module = CifarResNet(
            layout.depths,
            layout.widths,
            in_channels=layout.stem[1],
            num_classes=layout.num_classes,
            shortcut="A" if option == "A" else "B",
            shortcut_name=layout.shortcut or "shortcut",
            head=layout.head,
        )
    notes = [
        "architecture inferred from names and shapes; strides, activations and pooling leave no trace in weights "
        "and are assumed to be those of He et al. (2015), section 4.2"
    ]
    if option == "A" and len(layout.depths) > 1:
        notes.append(
            "no shortcut has weights, so shortcuts that change the dimension are assumed to be option A: every "
            "second pixel, zero channels padded half in front and half behind"
        )
    return Architecture(
        module, _name(layout, option), True, tuple(notes), layout.num_classes, image_shape(layout.stem[1])
    )


def image_shape(channels: int) -> tuple[int, int, int]:
    """Return the usual image shape of small-image networks: 32×32 colour (CIFAR), 28×28 grey (MNIST)."""
    return (channels, 28, 28) if channels == 1 else (channels, 32, 32)


def _name(layout: KeyLayout, option: str) -> str:
    """Return e.g. "cifar_resnet20 (option A)"; what departs from the paper's family is spelled out."""
    details = [f"option {option}"]
    if len(layout.depths) == 3 and len(set(layout.depths)) == 1:
        if layout.widths != _WIDTHS:
            details.append(f"widths {list(layout.widths)}")
        if layout.stem[1] != 3:
            details.append(f"{layout.stem[1]} image channel{'s' if layout.stem[1] > 1 else ''}")
        return f"cifar_resnet{6 * layout.depths[0] + 2} ({', '.join(details)})"
    details += [f"stages {list(layout.depths)}", f"widths {list(layout.widths)}"]
    return f"cifar_resnet ({', '.join(details)})"
