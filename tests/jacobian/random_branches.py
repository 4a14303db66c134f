"""Random branches of every shape that the exact engine takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

D = torch.float64


class Draw:
    """Random tensors of one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def tensor(self, *shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, dtype=D, generator=self.generator)

    def among(self, *choices: Any) -> Any:
        return choices[int(torch.randint(len(choices), (), generator=self.generator))]

    def norm(self, channels: int) -> Any:
        return (
            F.batch_norm,
            (
                self.tensor(channels),
                self.tensor(channels).abs() + 0.1,
                self.tensor(channels),
                self.tensor(channels),
            ),
            {"training": False, "eps": 1e-5},
        )

    def activation(self) -> Any:
        return self.among(
            (F.relu, (), {}),
            (F.relu6, (), {}),
            (F.leaky_relu, (0.1,), {}),
            (F.gelu, (), {}),
            (F.hardswish, (), {}),
            (torch.tanh, (), {}),
            (F.elu, (), {}),
            (F.softplus, (), {}),
        )

    def conv(self, c_in: int, c_out: int, axes: int) -> list[Any]:
        """A convolution that keeps the spatial shape, padded in one of several ways."""
        kernel = [int(k) for k in (self.among(1, 3, 5) for _ in range(axes))]
        dilation = [self.among(1, 1, 2) for _ in range(axes)]
        groups = self.among(1, 1, 2) if c_in % 2 == 0 and c_out % 2 == 0 else 1
        if groups == 1 and c_in == c_out:
            groups = self.among(1, 1, c_in)
        weight = self.tensor(c_out, c_in // groups, *kernel, scale=0.4)
        pads = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
        convolve = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[axes]
        mode = self.among("zeros", "zeros", "circular", "reflect", "replicate")
        if mode == "zeros":
            return [(convolve, (weight, self.tensor(c_out), 1, pads, dilation, groups), {})]
        pad = (F.pad, ([p for width in reversed(pads) for p in (width, width)],), {"mode": mode})
        return [pad, (convolve, (weight, None, 1, 0, dilation, groups), {})]


def random_branch(draw: Draw) -> tuple[list[Any], tuple[int, ...]]:
    """Two to four convolutions with batch norms and activations between them."""
    axes = draw.among(1, 2, 2, 2, 3)
    spatial = (
        tuple(int(draw.among(*range(5, 8 if axes == 2 else 10))) for _ in range(axes))
        if axes < 3
        else (4, 5, 4)
    )
    width = draw.among(1, 2, 3) if axes < 3 else 1
    channels = [width, *(draw.among(1, 2, 4) for _ in range(draw.among(1, 1, 2, 3))), width]
    if axes == 3:
        channels = [1, 2, 1]
    operations: list[Any] = []
    if draw.among(True, False):  # a pre-activation unit
        operations += [draw.norm(width), draw.activation()]
    for index, (c_in, c_out) in enumerate(pairwise(channels)):
        layer = draw.conv(c_in, c_out, axes)
        if axes == 3:  # dilated 5-tap kernels are wider than reflection can pad on 4 pixels
            layer = [(torch.conv3d, (draw.tensor(c_out, c_in, 3, 3, 3, scale=0.3), None, 1, 1), {})]
        operations += layer
        if draw.among(True, False):
            operations.append(draw.norm(c_out))
        if index < len(channels) - 2:
            operations.append(draw.activation())
    if draw.among(True, False):
        operations.append((torch.mul, (draw.among(-1.5, 0.3, 1.0),), {}))
    return operations, (width, *spatial)
