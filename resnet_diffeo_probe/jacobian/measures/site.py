"""A unit linearised at an input, with what the functions of its measures share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.determinant import Determinant

__all__ = ["Site"]


@dataclass(frozen=True, eq=False)
class Site:
    """What the function of a measure of the Jacobian is given.

    Attributes:
        lin: the unit at the input, where its branch is finite.
        wanted: keys of the measures that are asked for.
        determinant: where something that is wanted needs an elimination; its factors are kept where `kept` says so.
        kept: whether its factors are there for solves.
        too_large: why nothing was eliminated although something that is wanted needs it, else None.
        max_bytes: memory allowed, None for no limit.
        counts: whether all real eigenvalues below −1 are counted, however many there are.
        seed: of start vectors and of random checks.
    """

    lin: Linearization
    wanted: Collection[str]
    determinant: Determinant | None = None
    kept: bool = False
    too_large: str | None = None
    max_bytes: float | None = None
    counts: bool = True
    seed: int = 0
