"""R L as every input takes its active part from it: tiles of any size, and entries, give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.jacobian.elimination import row_tiles
from resnet_diffeo_probe.jacobian.elimination.row_entries import EntryTable
from resnet_diffeo_probe.jacobian.linearized import unit_jacobian
from resnet_diffeo_probe.jacobian.linearized.unit_jacobian import UnitJacobian
from tests.jacobian.random_branches import Draw, random_branch


@pytest.mark.parametrize("tile_rows", [1, 5])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_small_tiles_and_long_indices_change_nothing(
    unit_of: Callable[..., Any], tile_rows: int, seed: int
) -> None:
    """Large images are cut into many tiles a row, large stores need 64-bit indices; small ones here as well."""
    operations, shape = random_branch(Draw(seed))
    if any(op is F.pad and max(args[0]) >= min(shape[1:]) for op, args, _ in operations):
        shape = (shape[0], *(s + 4 for s in shape[1:]))
    unit = unit_of(operations, shape)
    lin = UnitJacobian(unit).at(Draw(seed + 1).tensor(*shape))
    whole = lin.reduced.system().dense()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_tiles, "_TILE_ROWS", tile_rows)
        patch.setattr(row_tiles, "_MOVING_TILE_ROWS", tile_rows)
        patch.setattr(row_tiles, "SHORT_INDEX", 0)
        patch.setattr(unit_jacobian, "compiled_loop", lambda: None)  # tiles and not entries
        other = UnitJacobian(unit).at(lin.x)
        torch.testing.assert_close(other.reduced.system().dense(), whole, rtol=1e-14, atol=1e-14)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_entries_and_tiles_give_the_same_bits(unit_of: Callable[..., Any], seed: int) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    draw = Draw(seed)
    unit = unit_of(*random_branch(draw))
    x = draw.tensor(*unit.input_shape)
    entries = UnitJacobian(unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit_jacobian, "compiled_loop", lambda: None)
        tiles = UnitJacobian(unit)
        by_tiles = tiles.at(x).reduced.system().dense()
        assert isinstance(tiles.table(tiles.at(x).reduced.product.cut), row_tiles.TileTable)
    reduced = entries.at(x).reduced
    assert isinstance(entries.table(reduced.product.cut), EntryTable)
    assert torch.equal(reduced.system().dense(), by_tiles)
