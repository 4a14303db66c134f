"""The CIFAR ResNets of He et al. (2015), section 4.2: depth 6n + 2, three stages, a 3×3 stem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BasicBlock", "CifarResNet", "PreActivationBlock", "SubsampleAndPad"]

Shortcut = Literal["A", "B"]


class SubsampleAndPad(nn.Module):
    """The option-A shortcut: every second pixel, and zero channels around the old ones.

    The paper says "extra zero entries padded"; half of them in front and half behind is what the widely used
    implementations do, and what the weights of this family were trained with.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, not fewer.
        stride: 1 or 2, the subsampling along each axis.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        extra = out_channels - in_channels
        if extra < 0:
            raise ValueError(f"a padding shortcut cannot go from {in_channels} to {out_channels} channels")
        self.front, self.back, self.stride = extra // 2, extra - extra // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.front, self.back))


def _shortcut(option: Shortcut, in_channels: int, out_channels: int, stride: int, norm: bool) -> nn.Module:
    """Return the shortcut of a block: nothing at all where the dimension stays."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    if option == "A":
        return SubsampleAndPad(in_channels, out_channels, stride)
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)]
    if norm:
        layers.append(nn.BatchNorm2d(out_channels))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x)))))): the unit of He et al. (2015), figure 2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        option: Shortcut,
        shortcut_name: str = "shortcut",
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        # the attribute's name is part of the checkpoint's keys, and both spellings are in use
        self.shortcut_name = shortcut_name
        self.add_module(shortcut_name, _shortcut(option, in_channels, out_channels, stride, norm=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        branch = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(branch + self.get_submodule(self.shortcut_name)(x))


class PreActivationBlock(nn.Module):
    """shortcut(x) + conv2(relu(bn2(conv1(relu(bn1(x)))))): He et al. (2016), figure 1(b)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        option: Shortcut,
        shortcut_name: str = "shortcut",
    ):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut_name = shortcut_name
        self.add_module(shortcut_name, _shortcut(option, in_channels, out_channels, stride, norm=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        branch = self.conv2(self.relu2(self.bn2(self.conv1(self.relu1(self.bn1(x))))))
        return branch + self.get_submodule(self.shortcut_name)(x)


class CifarResNet(nn.Module):
    """A residual network for small images: a 3×3 stem, stages of basic blocks, global average pooling.

    Sub-modules: `conv1`, `bn1`, `layer1.0.conv1` …, and the head (`linear` or `fc`). Later stages start with
    stride 2. With `depths=(n, n, n)` and `widths=(16, 32, 64)` this is ResNet-(6n + 2) of He et al. (2015),
    section 4.2.

    Args:
        depths: blocks in each stage.
        widths: channels of each stage; the stem has the first.
        in_channels: channels of the image.
        num_classes: outputs of the head.
        shortcut: `"A"`, subsample and pad with zeros, or `"B"`, a 1×1 convolution with batch norm.
        shortcut_name: attribute of the shortcut in a block, `"shortcut"` or `"downsample"`.
        head: attribute of the last layer, `"linear"` or `"fc"`.
        preactivation: pre-activation blocks; the stem then has no batch norm and the last sum has `bn`.

    Raises:
        ValueError: no stage, a stage without a block, or not as many widths as depths.

    Shapes:
        (N, in_channels, H, W) → (N, num_classes), for any H and W.
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int] = (16, 32, 64),
        *,
        in_channels: int = 3,
        num_classes: int = 10,
        shortcut: Shortcut = "A",
        shortcut_name: str = "shortcut",
        head: str = "linear",
        preactivation: bool = False,
    ):
        super().__init__()
        if not depths or min(depths) < 1 or len(depths) != len(widths):
            raise ValueError(f"depths {tuple(depths)} and widths {tuple(widths)} do not make stages")
        block = PreActivationBlock if preactivation else BasicBlock
        self.stages = tuple(f"layer{number}" for number in range(1, len(depths) + 1))
        self.head_name, self.preactivation = head, preactivation
        channels = widths[0]
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        if not preactivation:
            self.bn1 = nn.BatchNorm2d(channels)
        for number, (name, depth, width) in enumerate(zip(self.stages, depths, widths, strict=True)):
            blocks: list[nn.Module] = []
            for index in range(depth):
                stride = 2 if number > 0 and index == 0 else 1
                blocks.append(block(channels, width, stride, shortcut, shortcut_name))
                channels = width
            self.add_module(name, nn.Sequential(*blocks))
        if preactivation:
            self.bn = nn.BatchNorm2d(channels)
        self.add_module(head, nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = self.conv1(x)
        if not self.preactivation:
            x = F.relu(self.bn1(x))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        if self.preactivation:
            x = F.relu(self.bn(x))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return self.get_submodule(self.head_name)(x)
