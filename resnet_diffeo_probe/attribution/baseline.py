"""Where the line to an input starts: an image that says nothing, in one of the senses of that."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from resnet_diffeo_probe.attribution.network import NotAttributableError
from resnet_diffeo_probe.inputs import Preprocessing

__all__ = ["Baseline", "baseline_input"]


class Baseline(StrEnum):
    """What the input is compared with."""

    ZERO = "zero"  # zero after normalisation: the mean colour of the training images, where these were normalised
    BLACK = "black"  # black pixels, brought through the preprocessing

    @property
    def meaning(self) -> str:
        """The baseline in words."""
        if self is Baseline.BLACK:
            return "a black image, brought through the preprocessing"
        return "zero in every coordinate after preprocessing: an image of the mean colour, where the mean is taken off"


def baseline_input(kind: Baseline, x: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return the baseline of a batch.

    Args:
        kind: which.
        x: (batch, *shape) preprocessed inputs; (batch, C, H, W) for `BLACK`.
        preprocessing: what was applied to them.

    Raises:
        NotAttributableError: `BLACK`, and the inputs are no images.
        ConfigurationError: `BLACK`, and the preprocessing is for another number of channels.
    """
    if kind is Baseline.ZERO:
        return torch.zeros_like(x)
    if x.dim() != 4:
        raise NotAttributableError(
            "there is no black image among inputs that are no images", fix="--baseline zero"
        )
    return preprocessing.normalize(torch.zeros_like(x))
