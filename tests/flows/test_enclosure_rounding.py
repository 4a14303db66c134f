"""Rounding is bounded: enclosures of single points hold values computed with 40 digits."""

import mpmath
import numpy as np
import pytest

from resnet_diffeo_probe.flows.certification.enclosure import TANH_ERROR, EnclosedMap
from resnet_diffeo_probe.references.weights import shipped_weights


def test_tanh_is_within_the_error_that_is_assumed_of_it():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.uniform(-6, 6, 1500), rng.uniform(-0.01, 0.01, 300), np.geomspace(1e-12, 25, 200)]
    )
    found = np.tanh(values)
    with mpmath.workdps(40):
        worst = max(
            abs(mpmath.tanh(mpmath.mpf(x)) - mpmath.mpf(y)) for x, y in zip(values, found, strict=True)
        )
    assert worst < TANH_ERROR / 2


def _exact(parameters, point):
    """Return the image and the Jacobian matrix of one point, with 40 digits."""
    first, second = (kernel[0].astype(float) for kernel in parameters.kernels)
    x = mpmath.matrix(point.tolist())
    jacobian = mpmath.eye(2)
    for step in range(parameters.architecture.steps):
        which = step % parameters.architecture.fields
        w = mpmath.matrix(first[which, :, :2].tolist())
        b = mpmath.matrix(first[which, :, 2].tolist())
        v = mpmath.matrix(second[which].tolist())
        hidden = (w * x + b).apply(mpmath.tanh)
        slope = mpmath.diag([1 - h**2 for h in hidden])
        jacobian = (mpmath.eye(2) + v * slope * w) * jacobian
        x = x + v * hidden
    return x, jacobian


@pytest.mark.parametrize("network", ["a", "b", "d"])
def test_points_are_enclosed_rigorously(network):
    parameters = shipped_weights("reliable", network).parameters.select([1])
    points = np.random.default_rng(2).uniform(-3, 3, (2, 4))
    enclosed = EnclosedMap(parameters).enclose(points, np.zeros((2, 4)))
    with mpmath.workdps(40):
        for k in range(4):
            image, jacobian = _exact(parameters, points[:, k])
            det = mpmath.det(jacobian)
            assert mpmath.mpf(enclosed.determinant[0, k]) <= det <= mpmath.mpf(enclosed.determinant[1, k])
            assert enclosed.sign[k] == mpmath.sign(det)
            for i in range(2):
                miss = abs(image[i] - mpmath.mpf(enclosed.centre[i, k]))
                assert miss <= mpmath.mpf(enclosed.error[i, k])
                for j in range(2):
                    off = abs(jacobian[i, j] - mpmath.mpf(enclosed.jacobian[i, j, k]))
                    assert off <= mpmath.mpf(enclosed.jacobian_radius[i, j, k])
    # and not by a bound that would hold for anything
    assert enclosed.error.max() < 1e-9
