"""Arrays as small pictures: what went in can be read out of the file again."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_diffeo_probe.analysis.steps.raster import GAP, MAX_BYTES, Pixels, mosaic, tiles, values_picture
from resnet_diffeo_probe.inputs import Preprocessing


def opened(picture):
    image = Image.open(io.BytesIO(picture.png))
    assert (image.width, image.height) == (picture.width, picture.height)
    return np.asarray(image)


def test_values_come_back_to_half_a_level():
    values = torch.linspace(-2.0, 3.0, 35, dtype=torch.float64).reshape(5, 7)
    picture = values_picture(values, -2.0, 3.0)
    levels = opened(picture).astype(float)
    low, high = picture.scale
    np.testing.assert_allclose(low + (high - low) * levels / (GAP - 1), values, atol=0.5 * 5 / (GAP - 1))
    assert picture.pooled_from is None


def test_a_large_array_is_averaged_over_blocks_and_says_so():
    values = torch.arange(128.0, dtype=torch.float64).expand(96, 128)
    picture = values_picture(values, 0.0, 127.0)
    assert (picture.height, picture.width, picture.pooled_from) == (48, 64, (96, 128))
    levels = opened(picture).astype(float)
    np.testing.assert_allclose(levels[0] * 127 / (GAP - 1), np.arange(64) * 2 + 0.5, atol=0.5)


def test_values_without_a_spread_and_beyond_the_scale():
    assert set(opened(values_picture(torch.ones(3, 3), 1.0, 1.0)).ravel()) == {0}
    assert opened(values_picture(torch.tensor([[-9.0, 9.0]]), 0.0, 1.0)).tolist() == [[0, GAP - 1]]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_a_mosaic_holds_every_channel_at_its_place(count):
    channels = torch.rand(count, 4, 5, dtype=torch.float64)
    picture = mosaic(channels, 0.0, 1.0)
    levels = opened(picture)
    rows, columns = tiles(count)
    assert rows * columns >= count > (rows - 1) * columns
    assert levels.shape == (rows * 5 - 1, columns * 6 - 1)
    for place in range(count):
        top, left = (place // columns) * 5, (place % columns) * 6
        np.testing.assert_allclose(
            levels[top : top + 4, left : left + 5] / (GAP - 1), channels[place], atol=0.51 / (GAP - 1)
        )
    # what belongs to no channel is no value
    assert (levels == GAP).sum() == levels.size - count * 20


def test_an_image_is_shown_with_its_preprocessing_undone():
    pre = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    pixels = torch.rand(3, 8, 6, dtype=torch.float64)
    x = pre.normalize(pixels)[None]
    shown = Pixels.of(x, pre)
    assert shown is not None
    assert shown.are_pixels
    np.testing.assert_allclose(
        opened(shown.picture(x)), np.moveaxis(pixels.numpy() * 255, 0, -1), atol=0.5001
    )


def test_numbers_that_are_no_pixels_are_stretched_and_say_so():
    x = torch.tensor([[[[-3.0, 1.0], [5.0, 0.0]]]])
    shown = Pixels.of(x, Preprocessing())
    assert shown is not None
    assert not shown.are_pixels
    levels = opened(shown.picture(x))
    assert levels.min() == 0
    assert levels.max() == 255


@pytest.mark.parametrize(
    "x", [torch.zeros(1, 2, 4, 4), torch.zeros(1, 5), torch.full((1, 3, 4, 4), torch.nan)]
)
def test_what_is_no_picture_is_not_drawn(x):
    assert Pixels.of(x, Preprocessing()) is None


def test_a_large_image_of_noise_stays_small():
    x = torch.rand(1, 3, 300, 400, generator=torch.Generator().manual_seed(0))
    shown = Pixels.of(x, Preprocessing())
    assert shown is not None
    picture = shown.picture(x)
    assert len(picture.png) <= MAX_BYTES
    assert picture.pooled_from == (300, 400)
    assert picture.width / picture.height == pytest.approx(4 / 3, rel=0.05)
