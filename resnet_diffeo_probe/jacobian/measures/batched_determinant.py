"""Determinants of one unit at several inputs, eliminated together (`batched_elimination`).

Each finding is what `determinant` gives at that input by itself, up to rounding: the same right-hand sides are solved
for along the way, and sign and log|det| of each input pass the same check.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian.elimination.batched_elimination import (
    factorize_together_and_solve_transpose,
    padded_together,
)
from resnet_diffeo_probe.jacobian.elimination.batched_tiles import gathered_numbers, gathered_together
from resnet_diffeo_probe.jacobian.elimination.block_system import factor_entries
from resnet_diffeo_probe.jacobian.elimination.layout import Grouping
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.check import checked, probes_of, right_hand_sides
from resnet_diffeo_probe.jacobian.measures.determinant import Determinant, concluded, determinant
from resnet_diffeo_probe.jacobian.measures.gaussian_bounds import probe_count

__all__ = ["alike", "determinants", "together_bytes"]


def alike(lin: Linearization) -> tuple[int, int]:
    """Return what inputs of a unit have in common if they can be eliminated together: the cut, the low rank."""
    return lin.reduced.product.cut, lin.rank


def determinants(lins: Sequence[Linearization], *, seed: int = 0, keep: bool = True) -> list[Determinant]:
    """Compute sign and log|det| of J at several inputs of a unit, and check each.

    Those that are `alike` are eliminated together; where a block would have to wait for another one, an input is
    eliminated by itself.

    Args:
        lins: the unit at each input.
        seed: of the random vectors of the checks.
        keep: keep the factors for solves.

    Returns:
        In the order of the inputs, what `determinant` returns.

    Raises:
        ValueError: they are of different units.
    """
    if len({id(lin.parent) for lin in lins}) > 1:
        raise ValueError("inputs of different units cannot be eliminated together")
    groups: dict[tuple[int, int], list[int]] = {}
    for index, lin in enumerate(lins):
        groups.setdefault(alike(lin), []).append(index)
    found: dict[int, Determinant] = {}
    for members in groups.values():
        found |= zip(members, _together([lins[m] for m in members], seed, keep=keep), strict=True)
    return [found[index] for index in range(len(lins))]


def together_bytes(lins: Sequence[Linearization], *, keep: bool) -> float:
    """Return the memory of eliminating inputs that are `alike` together, what is known of them included.

    Args:
        lins: the unit at each input.
        keep: whether the factors are kept for solves.
    """
    grouping = _grouping(lins)
    system = padded_together([lin.reduced.system(grouping) for lin in lins]).system
    # kept factors are each input's own; what solves along the way need is there as long as the batch
    each = factor_entries(system, keep=False) + (factor_entries(system) if keep else 0.0)
    numbers = gathered_numbers([lin.reduced for lin in lins], grouping)
    numbers += sum(each + _known_numbers(lin) for lin in lins)
    return numbers * lins[0].x.element_size()


def _known_numbers(lin: Linearization) -> int:
    columns = [columns for _, columns in lin.gathered]
    tensors = (lin.x, lin.branch_output, *lin.pre_activations, *lin.derivatives, *columns, lin.rows)
    # and what is solved for in the check, before and after
    solved = 2 * (2 * probe_count(lin.x.dtype) + lin.rank) * (lin.dimension + lin.reduced.order)
    return solved + sum(tensor.numel() for tensor in tensors)


def _together(lins: Sequence[Linearization], seed: int, *, keep: bool) -> list[Determinant]:
    if len(lins) == 1:
        return [determinant(lins[0], seed=seed, keep=keep)]
    probes = [probes_of(lin, seed) for lin in lins]
    rights = [right_hand_sides(lin, own) for lin, own in zip(lins, probes, strict=True)]
    batch = gathered_together([lin.reduced for lin in lins], _grouping(lins))
    eliminated = factorize_together_and_solve_transpose(batch, rights, keep=keep)
    found = []
    for lin, own, one in zip(lins, probes, eliminated, strict=True):
        if one is None:
            found.append(determinant(lin, seed=seed, keep=keep))
            continue
        try:
            found.append(concluded(*checked(lin, own, *one), seed=seed))
        except FloatingPointError as error:
            lost = Finding.missing(Status.ERROR, str(error))
            found.append(Determinant(lost, lost, lost, None))
    return found


def _grouping(lins: Sequence[Linearization]) -> Grouping:
    """Return which image rows are eliminated together, for all inputs alike: as is cheapest for the largest rows."""
    largest = np.max([lin.reduced.row_sizes for lin in lins], axis=0)
    return lins[0].reduced.layout.cheapest(largest)[0]
