"""Every linear operation: its function and its matrix are the same map, and that map is the operation's derivative."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.operators import linear_operator

D = torch.float64


def rand(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=D, generator=generator)


def pixel_major(v: Tensor) -> Tensor:
    return v.reshape(v.shape[0], v.shape[1], -1).mT.reshape(v.shape[0], -1)


CASES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "3x3": (torch.conv2d, (rand(4, 3, 3, 3), rand(4), 1, 1), {}, (3, 5, 4)),
    "3x3 keywords": (F.conv2d, (), {"weight": rand(4, 3, 3, 3), "padding": (1, 1)}, (3, 5, 4)),
    "stride 2": (torch.conv2d, (rand(4, 3, 3, 3), None, (2, 2), (1, 1)), {}, (3, 7, 4)),
    "stride 2 by 3": (torch.conv2d, (rand(4, 3, 2, 3), None, (2, 3), (1, 2)), {}, (3, 7, 8)),
    "dilated": (torch.conv2d, (rand(4, 3, 3, 3), None, 1, 2, 2), {}, (3, 6, 5)),
    "rectangular": (torch.conv2d, (rand(2, 3, 1, 7), None, 1, (0, 3)), {}, (3, 4, 9)),
    "no padding": (torch.conv2d, (rand(2, 3, 3, 3),), {}, (3, 5, 5)),
    "padding same, even kernel": (torch.conv2d, (rand(2, 3, 4, 2), None, 1, "same"), {}, (3, 5, 6)),
    "padding same, dilated": (torch.conv2d, (rand(2, 3, 4, 3), None, 1, "same", (2, 1)), {}, (3, 7, 6)),
    "padding valid": (torch.conv2d, (rand(2, 3, 3, 3), None, 1, "valid"), {}, (3, 5, 5)),
    "grouped": (torch.conv2d, (rand(6, 2, 3, 3), None, 1, 1, 1, 3), {}, (6, 4, 4)),
    "depthwise": (torch.conv2d, (rand(3, 1, 5, 5), None, 1, 2, 1, 3), {}, (3, 4, 6)),
    "depthwise, two a channel": (torch.conv2d, (rand(6, 1, 3, 3), None, 1, 1, 1, 3), {}, (3, 4, 4)),
    "kernel larger than image": (torch.conv2d, (rand(2, 2, 7, 7), None, 1, 3), {}, (2, 3, 2)),
    "1-D": (torch.conv1d, (rand(4, 3, 5), None, 1, 2), {}, (3, 7)),
    "3-D": (torch.conv3d, (rand(2, 2, 3, 3, 3), None, 1, 1), {}, (2, 3, 4, 3)),
    "batch norm": (F.batch_norm, (rand(3), rand(3).abs(), rand(3), rand(3), False, 0.1, 1e-3), {}, (3, 4, 2)),
    "batch norm without affine": (F.batch_norm, (rand(3), rand(3).abs()), {"eps": 1e-2}, (3, 4)),
    "circular padding": (F.pad, ((1, 2, 1, 0), "circular"), {}, (2, 4, 3)),
    "reflect padding": (F.pad, ((1, 2, 1, 0),), {"mode": "reflect"}, (2, 4, 3)),
    "replicate padding": (F.pad, ((1, 2, 1, 0), "replicate"), {}, (2, 4, 3)),
    "constant padding": (F.pad, ((1, 2, 1, 0), "constant", 5.0), {}, (2, 4, 3)),
    "cropping": (F.pad, ((-1, 0, 0, -1),), {}, (2, 4, 3)),
    "linear": (F.linear, (rand(4, 3), rand(4)), {}, (3,)),
    "scale": (torch.mul, (0.3,), {}, (3, 2, 2)),
    "scale by an integer": (torch.mul, (2,), {}, (3, 2, 2)),
    "layer scale": (torch.mul, (rand(3, 1, 1),), {}, (3, 2, 4)),
    "layer scale with batch axis": (torch.mul, (rand(1, 3, 1, 1),), {}, (3, 2, 4)),
    "divide": (torch.div, (rand(3, 1, 1),), {}, (3, 2, 4)),
    "average pooling": (F.avg_pool2d, (3, 2, 1), {"count_include_pad": False}, (2, 7, 6)),
    "average pooling 1-D": (F.avg_pool1d, (2,), {}, (2, 8)),
    "adaptive pooling": (F.adaptive_avg_pool2d, ((2, 3),), {}, (2, 7, 6)),
    "bilinear": (F.interpolate, (), {"size": (7, 9), "mode": "bilinear", "align_corners": False}, (2, 4, 3)),
    "nearest": (F.interpolate, (None, 2.0), {}, (2, 4, 3)),
    "bicubic": (F.interpolate, (None, 2.0, "bicubic", True), {}, (1, 5, 4)),
    "negate": (torch.neg, (), {}, (3, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CASES)
def test_function_and_matrix_are_the_derivative(name: str) -> None:
    target, args, kwargs, shape = CASES[name]
    operator = linear_operator(target, args, kwargs, shape)
    assert operator is not None
    x = rand(2, *shape)
    derivative = target(x, *args, **kwargs) - target(torch.zeros_like(x), *args, **kwargs)  # it is affine
    assert operator.out_shape == tuple(derivative.shape[1:])
    torch.testing.assert_close(operator.apply(x), derivative, rtol=1e-12, atol=1e-12)
    matrix = operator.matrix().to(D, torch.device("cpu")).dense()
    torch.testing.assert_close(pixel_major(x) @ matrix.mT, pixel_major(derivative), rtol=1e-12, atol=1e-12)


def test_channels_last_constants_and_layers_are_those_of_the_moved_data() -> None:
    for operation, args in (
        (F.linear, (rand(4, 3), rand(4))),
        (torch.mul, (rand(3),)),
        (torch.div, (rand(1, 1, 3),)),
    ):
        operator = linear_operator(operation, args, {}, (3, 5, 4), channels_last=True)
        assert operator is not None
        x = rand(2, 3, 5, 4)
        moved = x.movedim(1, -1)
        derivative = (operation(moved, *args) - operation(torch.zeros_like(moved), *args)).movedim(-1, 1)
        torch.testing.assert_close(operator.apply(x), derivative, rtol=1e-12, atol=1e-12)
        matrix = operator.matrix().to(D, torch.device("cpu")).dense()
        torch.testing.assert_close(
            pixel_major(x) @ matrix.mT, pixel_major(derivative), rtol=1e-12, atol=1e-12
        )
    with pytest.raises(UnsupportedUnitError, match="channels-last"):
        linear_operator(torch.conv2d, (rand(4, 5, 1, 1),), {}, (3, 5, 4), channels_last=True)


@pytest.mark.parametrize("target", [torch.add, torch.sub])
def test_a_constant_moves_no_derivative(target: Any) -> None:
    assert linear_operator(target, (rand(3, 1, 1),), {}, (3, 4, 4)) is None


REFUSED = {
    "training batch norm": (F.batch_norm, (rand(3), rand(3).abs(), None, None, True), (3, 4, 4), "batch"),
    "no running statistics": (F.batch_norm, (None, None), (3, 4, 4), "batch"),
    "unknown operation": (torch.cumsum, (1,), (3, 4, 4), "cumsum"),
    "pixels scaled differently": (torch.mul, (rand(3, 4, 4),), (3, 4, 4), "pixels"),
    "widening addition": (torch.add, (rand(5, 1, 4, 4),), (3, 4, 4), "widens"),
    "channel padding": (F.pad, ((0, 0, 0, 0, 1, 1),), (3, 4, 4), "channels"),
    "linear over the last axis of an image": (F.linear, (rand(4, 4),), (3, 4, 4), "linear"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_by_name(name: str) -> None:
    target, args, shape, word = REFUSED[name]
    with pytest.raises(UnsupportedUnitError, match=word):
        linear_operator(target, args, {}, shape)
