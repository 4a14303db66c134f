"""How an image becomes the numbers that a network was trained on: size, mean and standard deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.nearest import nearest

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PRESETS", "Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """Resizing and normalisation: (pixel / 255 − mean) / std, channel by channel.

    Attributes:
        mean: one number for each channel, or one for all; pixels count from 0 to 1.
        std: the same, positive.
        size: height and width of the result (one number: both); None takes images as large as they are.
        preset: the name that the values came from, None if they were given one by one.
        resize: the shorter side before the centre crop; None: 8/7 of `size`, as 256 is to 224 in torchvision's
            ImageNet evaluation. Not used where an image already has `size`.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: int | tuple[int, int] | None = None
    preset: str | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise _wrong(
                f"mean has {len(self.mean)} and std {len(self.std)} numbers",
                "each channel needs one of both",
                "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
            )
        if not all(math.isfinite(m) for m in self.mean) or not all(
            math.isfinite(s) and s > 0 for s in self.std
        ):
            raise _wrong(
                f"mean {self.mean} and std {self.std} cannot normalise an image",
                "a mean has to be finite, a standard deviation finite and above zero",
                "--preset cifar10, or --mean and --std with the values used in training",
            )
        if self.size is not None and (min(self.target) < 1 or max(self.target) > 16384):
            raise _wrong(
                f"an image size of {self.size} makes no sense",
                "it is counted in pixels, 1 to 16384",
                "--size 224",
            )
        if self.resize is not None and (self.size is None or self.resize < min(self.target)):
            raise _wrong(
                f"resizing to {self.resize} before a crop of {self.size} makes no sense",
                "the crop is cut out of the resized image",
                "leave the resize out, or make it larger than the size",
            )

    @property
    def target(self) -> tuple[int, int]:
        """(height, width) of the result; only where `size` is given."""
        assert self.size is not None  # noqa: S101 - for the type checker
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @classmethod
    def from_preset(cls, name: str) -> Preprocessing:
        """Return the published preprocessing of a data set: cifar10, cifar100, imagenet, mnist or none.

        Raises:
            ConfigurationError: there is no preset of this name.
        """
        if name in PRESETS:
            return PRESETS[name]
        near = nearest(name, PRESETS) or "imagenet"
        raise ConfigurationError(
            f"no preset is called {name!r}",
            why=f"there are {', '.join(PRESETS)}",
            fix=f"--preset {near}, or give --mean and --std",
            code="unknown-preset",
        )

    def check_channels(self, channels: int) -> None:
        """Raise a `ConfigurationError` unless the statistics are for this many channels, or for any number."""
        if len(self.mean) not in {1, channels}:
            raise _wrong(
                f"mean and std have {len(self.mean)} numbers, and the images {channels} "
                f"channel{'s' if channels > 1 else ''}",
                f"the preset {self.preset!r} is for {len(self.mean)} channels" if self.preset else None,
                f"give {channels} numbers to --mean and --std, or one for all channels",
            )

    def normalize(self, pixels: Tensor) -> Tensor:
        """Return (pixels − mean) / std for pixels (…, C, H, W) in [0, 1], float32."""
        import torch  # noqa: PLC0415 - values can be validated without torch

        self.check_channels(pixels.shape[-3])
        mean = torch.tensor(self.mean, dtype=pixels.dtype).view(-1, 1, 1)
        std = torch.tensor(self.std, dtype=pixels.dtype).view(-1, 1, 1)
        return (pixels - mean) / std


def _wrong(what: str, why: str | None, fix: str) -> ConfigurationError:
    return ConfigurationError(what, why=why, fix=fix, code="preprocessing")


PRESETS = {
    # over all pixels of the training images, in [0, 1]: akamaster/pytorch_resnet_cifar10, issue 9 (0.49139968 …).
    # The common std (0.2023, 0.1994, 0.2010) is another statistic, see kuangliu/pytorch-cifar, issue 16.
    "cifar10": Preprocessing((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), preset="cifar10"),
    # the same for CIFAR-100: weiaicunzai/pytorch-cifar100, conf/global_settings.py
    "cifar100": Preprocessing((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), preset="cifar100"),
    # torchvision.transforms._presets.ImageClassification: resize 256, centre crop 224
    "imagenet": Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224, "imagenet", 256),
    # pytorch/examples, mnist/main.py
    "mnist": Preprocessing((0.1307,), (0.3081,), preset="mnist"),
    # pixels in [0, 1] as they are
    "none": Preprocessing((0.0,), (1.0,), preset="none"),
}
