"""2 x 2 closed forms against numpy's own linear algebra."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resnet_diffeo_probe.flows.fields.plane import (
    determinant,
    identity,
    inverse,
    leftmost_real_eigenvalue,
    product,
    singular_values,
)

MATRICES = np.random.default_rng(0).standard_normal((3, 2, 2, 40))


def _each(a):
    return np.moveaxis(a, -1, 1)


def test_product_determinant_and_inverse():
    np.testing.assert_allclose(determinant(MATRICES), np.linalg.det(_each(MATRICES)), rtol=1e-10)
    back = product(inverse(MATRICES), MATRICES)
    np.testing.assert_allclose(back, np.broadcast_to(identity(3, 40, np.float64), back.shape), atol=1e-9)


def test_singular_values():
    greatest, least = singular_values(MATRICES)
    expected = np.linalg.svd(_each(MATRICES), compute_uv=False)
    np.testing.assert_allclose(greatest, expected[..., 0], rtol=1e-12)
    np.testing.assert_allclose(least, expected[..., 1], rtol=1e-10)
    zero = singular_values(np.zeros((1, 2, 2, 1)))
    assert zero[0].item() == zero[1].item() == 0.0


@given(hnp.arrays(np.float64, (1, 2, 2, 4), elements=st.floats(-10, 10, width=32)))
def test_leftmost_real_eigenvalue(a):
    found = leftmost_real_eigenvalue(a)[0]
    for k in range(4):
        values = np.linalg.eigvals(a[0, :, :, k])
        scale = 1 + np.abs(a[0, :, :, k]).max()
        if np.isnan(found[k]):
            assert np.abs(values.imag).max() > 0 or np.ptp(values.real) < 1e-6 * scale
        else:
            # a nearly double eigenvalue moves by the square root of the rounding error
            assert abs(found[k] - values.real.min()) < 1e-6 * scale
