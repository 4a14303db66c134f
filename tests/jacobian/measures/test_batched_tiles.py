"""Blocks gathered for several inputs at once are those that each input gathers by itself, to the bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.elimination import batched_elimination, batched_tiles
from resnet_diffeo_probe.jacobian.elimination.batched_elimination import (
    factorize_together_and_solve_transpose,
    padded_together,
)
from resnet_diffeo_probe.jacobian.elimination.batched_tiles import gathered_numbers, gathered_together
from resnet_diffeo_probe.jacobian.elimination.layout import Layout
from resnet_diffeo_probe.jacobian.elimination.reduction import ReducedMatrix
from resnet_diffeo_probe.jacobian.elimination.row_tiles import TileTable
from resnet_diffeo_probe.jacobian.elimination.rows import factorize
from tests.jacobian.measures.test_batched_determinant import BRANCHES, inputs

UnitOf = Callable[..., Any]


def reduced_of(unit: Any, points: list[Tensor], cut: int) -> list[ReducedMatrix]:
    """The reduced matrices at a cut, taken from tiles whatever this machine would take them from."""
    jacobian = UnitJacobian(unit)
    table = TileTable(jacobian.product(cut), jacobian.layout(cut))
    found = []
    for x in points:
        lin = jacobian.at(x)
        diagonals = {
            j: d[0].reshape(d.shape[1], -1).mT.contiguous() if d.dim() != 3 or d.shape[1] != d.shape[2] else d
            for j, d in enumerate(lin.derivatives, 1)
        }
        found.append(ReducedMatrix(jacobian.product(cut), jacobian.layout(cut), diagonals, lambda: table))
    return found


def cuts(unit_of: UnitOf, name: str) -> tuple[int, ...]:
    return UnitJacobian(unit_of(*BRANCHES[name])).cuts


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(
    "name", ["basic", "bottleneck, two activations", "circular", "norm of each position", "one axis"]
)
def test_every_block_in_every_grouping(
    unit_of: UnitOf, name: str, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not short:
        monkeypatch.setattr(batched_tiles, "SHORT_INDEX", 0)
    operations, shape = BRANCHES[name]
    static = []
    for cut in cuts(unit_of, name):
        reduced = reduced_of(unit_of(operations, shape), inputs(shape), cut)
        layout: Layout = reduced[0].layout
        table = reduced[0].table
        assert isinstance(table, TileTable)
        static.append(table.is_static)
        for grouping in layout.groupings:
            together = gathered_together(reduced, grouping)
            honest = padded_together([each.system(grouping) for each in reduced])
            assert (together.sizes == honest.sizes).all()
            assert together.system.sizes == honest.system.sizes
            assert torch.equal(together.system.dense(), honest.system.dense())
            assert gathered_numbers(reduced, grouping) > 0
    if name == "bottleneck, two activations":
        assert set(static) == {False}
    if name == "basic":
        assert True in static


def test_small_tiles_and_many_of_them(unit_of: UnitOf, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_diffeo_probe.jacobian.elimination import row_tiles

    monkeypatch.setattr(row_tiles, "_TILE_ROWS", 4)
    monkeypatch.setattr(row_tiles, "_MOVING_TILE_ROWS", 4)
    for name in ("basic", "bottleneck, two activations"):
        test_every_block_in_every_grouping(unit_of, name, True, monkeypatch)


class Operations(TorchDispatchMode):
    """Counts what torch is told to do."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def test_an_elimination_launches_as_often_for_six_inputs_as_for_two_and_waits_for_none(
    unit_of: UnitOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is read at the end is on the host
    monkeypatch.setattr(
        batched_elimination._BatchedPivots, "logdets", lambda self: [None] * len(self._batch.sizes)
    )
    operations, shape = BRANCHES["basic"]
    found = []
    for count in (2, 6):
        reduced = reduced_of(unit_of(operations, shape), inputs(shape)[:1] * count, 1)
        grouping = reduced[0].layout.groupings[0]
        batch = gathered_together(reduced, grouping)
        assert len(batch.system.sizes) == 7
        rights = [torch.ones(each.order, 3, dtype=torch.float64) for each in reduced]
        with Operations() as counted:
            factorize_together_and_solve_transpose(batch, rights, keep=False)
        found.append(counted.counts)
    assert found[0] == found[1]
    assert sum(found[0].values()) > 7
    # each of these reads a value from the device
    assert not {"_local_scalar_dense", "nonzero", "equal", "is_nonzero"} & set(found[0])
    # and this is what an input by itself waits for
    with Operations() as counted:
        factorize(reduced[0].system(grouping))
    assert counted.counts["_local_scalar_dense"] > 3
