from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix


def random_matrix(
    rng: np.random.Generator, pixels: tuple[int, int], channels: tuple[int, int]
) -> SharedBlockMatrix:
    """Random entries, places repeated on purpose, few different blocks."""
    entries, distinct = int(rng.integers(1, 20)), int(rng.integers(1, 4))
    blocks = torch.from_numpy(rng.standard_normal((distinct, *channels)))
    return SharedBlockMatrix.from_entries(
        blocks,
        rng.integers(0, pixels[0], entries),
        rng.integers(0, pixels[1], entries),
        rng.integers(0, distinct, entries),
        pixels_out=pixels[0],
        pixels_in=pixels[1],
    )


def dense_by_hand(m: SharedBlockMatrix) -> np.ndarray:
    full = np.zeros((m.pixels_out * m.channels_out, m.pixels_in * m.channels_in))
    for row, col, index in zip(m.rows, m.cols, m.ids, strict=True):
        r, c = row * m.channels_out, col * m.channels_in
        full[r : r + m.channels_out, c : c + m.channels_in] += m.blocks[index].numpy()
    return full


@given(seed=st.integers(0, 2**32 - 1))
def test_repeated_places_are_added_and_dense_shows_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = 15
    blocks = torch.from_numpy(rng.standard_normal((3, 2, 3)))
    rows, cols, ids = rng.integers(0, 3, entries), rng.integers(0, 2, entries), rng.integers(0, 3, entries)
    matrix = SharedBlockMatrix.from_entries(blocks, rows, cols, ids, pixels_out=3, pixels_in=2)
    expected = np.zeros((6, 6))
    for row, col, index in zip(rows, cols, ids, strict=True):
        expected[2 * row : 2 * row + 2, 3 * col : 3 * col + 3] += blocks[index].numpy()
    np.testing.assert_allclose(matrix.dense().numpy(), expected, atol=1e-12)
    assert len({(r, c) for r, c in zip(matrix.rows, matrix.cols, strict=True)}) == matrix.rows.size


@given(seed=st.integers(0, 2**32 - 1))
def test_product_is_the_product_of_the_dense_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (int(p) for p in rng.integers(1, 6, 3))
    left, right = random_matrix(rng, (a, b), (2, 3)), random_matrix(rng, (b, c), (3, 2))
    product = left @ right
    np.testing.assert_allclose(product.dense(), dense_by_hand(left) @ dense_by_hand(right), atol=1e-12)


def test_equal_blocks_of_a_product_are_computed_once() -> None:
    # two 3-tap convolutions on a line of 100 pixels: 5 taps inside, fewer combinations at the two ends
    at = np.arange(100)
    rows = np.concatenate([at[1:], at, at[:-1]])
    cols = np.concatenate([at[:-1], at, at[1:]])
    ids = np.repeat([0, 1, 2], [99, 100, 99])
    conv = SharedBlockMatrix.from_entries(
        torch.randn(3, 2, 2, dtype=torch.float64), rows, cols, ids, pixels_out=100, pixels_in=100
    )
    product = conv @ conv
    assert product.rows.size == 100 + 2 * 99 + 2 * 98
    assert product.blocks.shape[0] == 7  # five taps, and the middle one without its left or right half
    torch.testing.assert_close(product.dense(), conv.dense() @ conv.dense())


def test_sizes_that_do_not_fit_are_refused() -> None:
    identity = SharedBlockMatrix.diagonal(torch.eye(2), 3)
    with pytest.raises(ValueError, match="cannot multiply"):
        identity @ SharedBlockMatrix.diagonal(torch.eye(2), 4)
