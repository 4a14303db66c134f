"""A witness: two different points with one image, checked again before it is called a proof.

The check runs the unit's own float64 maps, cut out of the user's network, and where the network is at hand the
network's own module as well: neither shares code with the engine that found the pair. Images that agree up to rounding
prove nothing by themselves: a bijection that is flat enough has such points too. A proof therefore holds an enclosure
of a pair near this one whose images are equal in exact arithmetic; without one it is a numerical pair.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from resnet_diffeo_probe.activations import as_record
from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds
from resnet_diffeo_probe.bijectivity.certificates.enclosure import Enclosure
from resnet_diffeo_probe.bijectivity.witnesses.exact_pair import enclosed_pair
from resnet_diffeo_probe.bijectivity.witnesses.own_module import module_map
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = [
    "EQUATION",
    "SEPARATION",
    "Map",
    "UnitMaps",
    "Witness",
    "check",
    "established",
    "file_name",
    "in_orthant",
    "save",
]

#: ‖m(x₁) − m(x₂)‖ ≤ EQUATION · ‖x₁ − x₂‖ is asked of a proof …
EQUATION = 1e-9
#: … and ‖x₁ − x₂‖ ≥ SEPARATION · ‖x₁‖.
SEPARATION = 1e-6

Map = Literal["sum", "unit"]

ORTHANT = "the non-negative orthant (both points could come out of a ReLU)"
WHOLE_SPACE = "Rⁿ (a point has negative coordinates: no ReLU gives it)"


class UnitMaps(Protocol):
    """What a check needs of a unit; `units.ResidualUnit` is one."""

    @property
    def name(self) -> str:
        """Its name in the network."""

    def sum_map(self, x: Tensor) -> Tensor:
        """Return g(x) = s(x) + F(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a(g(x))."""


@dataclass(frozen=True, eq=False)
class Witness:
    """Two points of a unit's input space and how far their images under one of its maps are apart.

    Attributes:
        unit: its name.
        map: `"sum"` for g = s + F, `"unit"` for a∘g.
        kind: how the pair was found: `"fold"`, `"smooth fold"`, `"clipped coordinate"`, `"inverse"`.
        x1: (1, *shape) float64.
        x2: (1, *shape) float64.
        distance: ‖x₁ − x₂‖.
        relative_distance: ‖x₁ − x₂‖ / ‖x₁‖.
        gap: ‖m(x₁) − m(x₂)‖, the larger of what the checks found.
        domain: where the pair lies.
        checked_by: what ran the map, for people.
        enclosure: of a point with exactly the other's image, and what that rests on; None where it was not looked for
            or a bound is missing: then this is a numerical pair.
        about: sizes, the inputs and the fold that it came from, JSON values.
        grown: the pair followed further, out of this one's domain; None if it went no further.
    """

    unit: str
    map: Map
    kind: str
    x1: Tensor
    x2: Tensor
    distance: float
    relative_distance: float
    gap: float
    domain: str
    checked_by: tuple[str, ...]
    enclosure: Enclosure | None
    about: dict[str, Any] = field(default_factory=dict)
    grown: Witness | None = None

    @property
    def is_proof(self) -> bool:
        """Whether a pair with exactly one image is proven to lie near: both points differ, and one need move little."""
        radius = None if self.enclosure is None else self.enclosure.radius
        return self.agrees and radius is not None and radius <= self.distance / 2

    @property
    def agrees(self) -> bool:
        """Whether the images agree, as they were computed, and the points are apart: a numerical pair at least."""
        return (
            bool(self.checked_by)
            and self.gap <= EQUATION * self.distance
            and self.distance >= SEPARATION * norm(self.x1)
            and self.distance > 0
        )

    @property
    def in_orthant(self) -> bool:
        """Whether both points are non-negative."""
        return in_orthant(self.x1) and in_orthant(self.x2)

    def with_about(self, **more: Any) -> Witness:
        """Return the same witness with more said about it."""
        return replace(self, about={**self.about, **more})

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object without the points themselves: they are in `file`."""
        return {
            "kind": self.kind,
            "map": self.map,
            "is_proof": self.is_proof,
            **({} if self.enclosure is None else {"premises": self.enclosure.premises()}),
            "distance": self.distance,
            "relative_distance": self.relative_distance,
            "gap": self.gap,
            "domain": self.domain,
            "in_orthant": self.in_orthant,
            "checked_by": list(self.checked_by),
            "file": file_name(self.unit, self.map),
            **self.about,
            **({} if self.grown is None else {"grown_domain": self.grown.domain}),
        }


def in_orthant(x: Tensor) -> bool:
    """Return whether no coordinate is negative."""
    return bool((x >= 0).all())


def check(
    unit: UnitMaps,
    which: Map,
    x1: Tensor,
    x2: Tensor,
    kind: str,
    *,
    module: nn.Module | None = None,
    about: dict[str, Any] | None = None,
    jacobian: UnitJacobian | None = None,
    bounds: BranchBounds | None = None,
) -> Witness:
    """Run the map at both points in float64 and say what came out.

    Args:
        unit: with parameters in float64.
        which: the map.
        x1: (1, *shape) float64.
        x2: (1, *shape) float64.
        kind: how the pair was found.
        module: the user's whole network, in float64 and evaluation mode; its submodule of the unit's name is run as
            a second, independent check where there is one.
        about: JSON values to carry along.
        jacobian: of that unit; with it, what a proof needs is established, else the pair is a numerical one.
        bounds: of its branch, made where they are needed.

    Raises:
        ValueError: the points are not float64.
    """
    if x1.dtype != torch.float64 or x2.dtype != torch.float64:
        raise ValueError("a witness is checked in float64")
    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "the unit cut out of the network": unit.sum_map if which == "sum" else unit.forward
    }
    if module is not None and (own := module_map(module, unit.name, which, x1)) is not None:
        maps["the network's own module"] = own
    with torch.no_grad():
        gaps = [norm(run(x1) - run(x2)) for run in maps.values()]
    distance = norm(x1 - x2)
    size = norm(x1)
    found = Witness(
        unit.name,
        which,
        kind,
        x1.detach(),
        x2.detach(),
        distance,
        distance / size if size > 0 else 0.0,
        max(gaps),
        ORTHANT if in_orthant(x1) and in_orthant(x2) else WHOLE_SPACE,
        tuple(maps),
        None,
        dict(about or {}),
    )
    return found if jacobian is None else established(found, unit, jacobian, bounds)


def established(
    witness: Witness, unit: UnitMaps, jacobian: UnitJacobian, bounds: BranchBounds | None = None
) -> Witness:
    """Return the witness with what a proof rests on, as far as that could be established; one factorisation, or two.

    Args:
        witness: a pair; one whose images do not agree is returned as it is.
        unit: of the pair.
        jacobian: of that unit, float64.
        bounds: of its branch, made here if None.
    """
    if not witness.agrees or witness.enclosure is not None:
        return witness
    # a unit of the network knows its activation with its arguments; a bare name stands for torch's defaults
    activation = as_record(getattr(unit, "activation_record", getattr(unit, "activation", None)))
    return replace(
        witness,
        enclosure=enclosed_pair(
            jacobian, witness.map, witness.x1, witness.x2, activation=activation, bounds=bounds
        ),
    )


def file_name(unit: str, which: str) -> str:
    """Return `<unit>.<map>.npz` with nothing in it that could leave a folder.

    A name that had to be changed gets a piece of its hash, so that two units never share a file.
    """
    safe = re.sub(r"[^A-Za-z0-9._#-]", "_", unit).lstrip(".")[:100]
    if safe != unit or not safe:
        safe = f"{safe or 'unit'}-{hashlib.sha256(unit.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"{safe}.{which}.npz"


def save(witness: Witness, folder: Path) -> Path:
    """Write a witness as `<folder>/<unit>.<map>.npz`.

    The file holds the arrays `x1`, `x2` and the strings `unit`, `map`, `domain`; where the pair was followed out of its
    domain also `grown_x1`, `grown_x2`, `grown_domain`. Reading it needs no pickle.

    Args:
        witness: a proof or a numerical pair.
        folder: made if it does not exist, e.g. `witnesses`.

    Raises:
        ValueError: its images do not agree.
    """
    if not witness.agrees:
        raise ValueError(
            f"the pair of {witness.unit} is no proof, not even a numerical pair, and is not saved"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(witness.unit, witness.map)
    arrays = {
        "x1": witness.x1.numpy(),
        "x2": witness.x2.numpy(),
        "unit": np.array(witness.unit),
        "map": np.array(witness.map),
        "domain": np.array(witness.domain),
    }
    if (grown := witness.grown) is not None and grown.agrees:
        arrays |= {
            "grown_x1": grown.x1.numpy(),
            "grown_x2": grown.x2.numpy(),
            "grown_domain": np.array(grown.domain),
        }
    np.savez(path, allow_pickle=False, **arrays)
    return path
