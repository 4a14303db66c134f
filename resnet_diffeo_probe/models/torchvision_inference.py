"""Which torchvision ResNet a state dict belongs to: block, depths, groups and width, read from the shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.models.architecture import Architecture
from resnet_diffeo_probe.models.key_layout import KeyLayout

__all__ = ["infer_torchvision"]

# (bottleneck, depths, groups, width per group) → torchvision's name; torchvision/models/resnet.py
_NAMES = {
    (False, (2, 2, 2, 2), 1, 64): "resnet18",
    (False, (3, 4, 6, 3), 1, 64): "resnet34",
    (True, (3, 4, 6, 3), 1, 64): "resnet50",
    (True, (3, 4, 23, 3), 1, 64): "resnet101",
    (True, (3, 8, 36, 3), 1, 64): "resnet152",
    (True, (3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    (True, (3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    (True, (3, 4, 23, 3), 64, 4): "resnext101_64x4d",
    (True, (3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    (True, (3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}


def infer_torchvision(layout: KeyLayout, tensors: Mapping[str, Tensor]) -> Architecture | None:
    """Return the torchvision ResNet of this layout on the meta device, or None if it is none.

    Names alone do not tell resnet50, resnext50 and wide_resnet50 apart; groups and width follow from the
    3×3 convolution of the first block, whose weight is (width, width / groups, 3, 3). The caller still has to
    compare every name and shape.
    """
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet  # noqa: PLC0415 - slow to import

    if len(layout.depths) != 4 or layout.head != "fc" or not layout.stem_norm or layout.stem[2:] != (7, 7):
        return None
    middle = tensors.get("layer1.0.conv2.weight")
    if middle is None or middle.dim() != 4 or middle.shape[1] == 0:
        return None
    width = int(middle.shape[0])
    groups = width // int(middle.shape[1])
    if groups < 1 or width % groups or (not layout.bottleneck and (groups, width) != (1, 64)):
        return None
    block: type[BasicBlock | Bottleneck] = Bottleneck if layout.bottleneck else BasicBlock
    with torch.device("meta"):
        module = ResNet(
            block,
            list(layout.depths),
            num_classes=layout.num_classes,
            groups=groups,
            width_per_group=width // groups,
        )
        channels = layout.stem[1]
        if channels != 3:
            module.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    name = _NAMES.get((layout.bottleneck, layout.depths, groups, width // groups))
    if name is None:
        name = f"ResNet ({block.__name__}, {list(layout.depths)}, groups {groups}, width {width // groups})"
    notes = (
        "architecture inferred from names and shapes; strides, activations and pooling leave no trace in weights "
        "and are assumed to be torchvision's",
    )
    return Architecture(module, f"torchvision {name}", True, notes, layout.num_classes, (channels, 224, 224))
