"""The four spiral networks as pictures, each with the units of this network that are nearest to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.references.pictures import shipped_pictures
from resnet_diffeo_probe.report.sections.pictures import Drawn
from resnet_diffeo_probe.report.text.escaping import number, percent, plural
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["Spiral", "spirals_of"]


@dataclass(frozen=True, slots=True)
class Spiral:
    """One network of the paper.

    Attributes:
        letter: a, b, c or d.
        meaning: how it was trained.
        regions: its decision regions.
        determinant: the determinant of its whole map.
        flow: points on their way through its units.
        says: what its Jacobian map shows, with numbers.
        nearest: units of this network that are nearest to its units.
    """

    letter: str
    meaning: str
    regions: Drawn
    determinant: Drawn
    flow: list[Drawn]
    says: str
    nearest: list[ReportUnit]


def spirals_of(networks: Mapping[str, str], nearest: Sequence[tuple[ReportUnit, str | None]]) -> list[Spiral]:
    """Return the four networks.

    Args:
        networks: letters, each with what it is.
        nearest: units of this network, each with the letter of the nearest spiral network.
    """
    shipped = shipped_pictures()
    return [
        _spiral(letter, meaning, shipped[letter], [unit for unit, found in nearest if found == letter])
        for letter, meaning in networks.items()
    ]


def _spiral(letter: str, meaning: str, shipped: Mapping[str, Any], nearest: list[ReportUnit]) -> Spiral:
    least, greatest = number(shipped["least"], 3), number(shipped["greatest"], 3)
    share = shipped["share_not_positive"]
    folds = (
        f"it is ≤ 0 on {percent(share)} of the square: the map folds"
        if share
        else "it is positive on the whole grid"
    )
    says = f"det J of the whole map goes from {least} to {greatest}; {folds}."
    length = number(shipped["boundary_length"], 3)
    return Spiral(
        letter,
        meaning,
        _drawn(
            shipped["regions"],
            f"Network ({letter}): two interleaved spirals of points and the boundary between their classes, "
            f"of length {length}",
            "decision regions",
        ),
        _drawn(shipped["determinant"], f"Network ({letter}), Jacobian map: {says}", "det J"),
        [
            _drawn(
                step,
                f"Network ({letter}) after {plural(step['step'], 'unit')}: the points and the lines of a square grid, "
                f"half a side is {number(step['reach'], 3)}",
                "input" if step["step"] == 0 else f"unit {step['step']}",
            )
            for step in shipped["flow"]
        ],
        says,
        nearest,
    )  # fmt: skip


def _drawn(picture: Mapping[str, Any], alt: str, title: str) -> Drawn:
    # shipped with the package, not read from a result: no need to unpack it
    source = f"data:image/png;base64,{picture['png']}"
    return Drawn(source, alt, title, "", picture["width"], picture["height"])
