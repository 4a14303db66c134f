"""The spirals' shape."""

import numpy as np
import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.spirals import Spirals, draw_spirals


def test_noiseless_points_lie_on_their_centre_line():
    spirals = Spirals(radius=3.0, turns=0.75, noise=0.0)
    points, labels = draw_spirals(spirals, 201, np.random.default_rng(0))
    assert points.shape == (2, 201)
    assert (labels == 0).sum() == 101
    for label in (0, 1):
        line = spirals.centre_line(label, 20_000)
        mine = points[:, labels == label]
        distance = np.sqrt(((mine[:, :, None] - line[:, None, :]) ** 2).sum(axis=0)).min(axis=1)
        assert distance.max() < 1e-3


def test_the_classes_are_each_other_turned_by_half_a_turn():
    spirals = Spirals()
    np.testing.assert_allclose(spirals.centre_line(1, 50), -spirals.centre_line(0, 50), atol=1e-12)
    inner, outer = np.linalg.norm(spirals.centre_line(0, 2), axis=0)
    assert (inner, outer) == pytest.approx((0.3, 3.0))


def test_impossible_spirals_are_refused():
    for keywords in ({"radius": 0.0}, {"turns": -1.0}, {"noise": -0.1}):
        with pytest.raises(ConfigurationError):
            Spirals(**keywords)
    with pytest.raises(ConfigurationError):
        draw_spirals(Spirals(), 1, np.random.default_rng(0))
