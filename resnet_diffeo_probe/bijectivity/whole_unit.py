"""The verdict on a whole unit: the sum map and the activation after it.

Whole unit a(g(x)) with a continuous a that is constant on an interval, as a ReLU is below zero. If g_i(x) lies inside
it at some x, a neighbourhood of x is mapped into the hyperplane y_i = a(g_i(x)), so the image of that neighbourhood is
not open and a∘g is not injective there. This is the remark of section 3.3 of 'Residual Networks as Flows of
Diffeomorphisms' as a proof.
"""

from __future__ import annotations

from collections.abc import Mapping

from resnet_diffeo_probe.activations import Activation
from resnet_diffeo_probe.bijectivity.continuity import Continuity
from resnet_diffeo_probe.bijectivity.premises import CONTINUOUS
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.finding import Finding

__all__ = ["CLIPPED_DEPTH", "counted", "judge_whole"]

#: A clipped coordinate must lie this far below zero, relative to the largest one, for the rounding of a forward pass
#: in this arithmetic not to matter.
CLIPPED_DEPTH = {"float64": 1e-9, "float32": 1e-3}


def judge_whole(
    unit: str,
    activation: Activation | None,
    total: Verdict,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    continuity: Continuity,
) -> Verdict:
    """Judge a whole unit.

    Args:
        unit: its name.
        activation: after the addition, None if there is none.
        total: the verdict on its sum map.
        rows: input name -> quantity -> finding.
        nonnegative: input name -> whether the unit's input has no negative coordinate there.
        continuity: of the sum map.
    """
    depths = {name: found for name, row in rows.items() if (found := row.get("clipped_depth")) is not None}
    clipped = {
        name: float(found.value) for name, found in depths.items() if _is_clipped(found) and found.value
    }
    if activation is not None and activation.continuous and activation.clips and clipped:
        if continuity.established:
            return _flattened(unit, activation, total, rows, nonnegative, clipped, depths)
        sentence = (
            f"The {activation.display} after the addition clips coordinates at {counted(len(clipped))}, which would "
            f"flatten a neighbourhood under a continuous sum. That this one is continuous is not established: "
            f"{continuity.broken_by}."
        )
        return Verdict(unit, "unit", State.UNDETERMINED, sentence, counts=total.counts)
    same = {
        "domain": total.domain,
        "arithmetic": total.arithmetic,
        "counts": total.counts,
        "evidence": total.evidence,
    }
    if activation is None or activation.injective:
        follows = "No activation follows the addition"
        if activation is not None:
            follows = f"{activation.label} is injective"
        return Verdict(
            unit,
            "unit",
            total.state,
            f"{follows}: as the sum map. {total.sentence}",
            violating_share_upper_95=total.violating_share_upper_95,
            **same,  # type: ignore[arg-type]
        )
    if total.state is State.NOT_INJECTIVE_PROVEN:
        sentence = "The sum map has two points with one image, so the whole unit has."
        return Verdict(unit, "unit", total.state, sentence, **same)  # type: ignore[arg-type]
    if total.state is State.NOT_RUN:
        return Verdict(unit, "unit", State.NOT_RUN, total.sentence, counts=total.counts)
    if not activation.clips:
        sentence = (
            f"{activation.label} after the addition may give different sums one image; "
            "no such pair was looked for."
        )
    elif any(found.value is not None for found in depths.values()):
        sentence = (
            f"No clipped coordinate was seen at these inputs; what {activation.label} does to others is open."
        )
    else:
        sentence = f"Whether the {activation.display} after the addition clips coordinates was not measured."
    return Verdict(unit, "unit", State.UNDETERMINED, sentence, counts=total.counts)


def _flattened(
    unit: str,
    activation: Activation,
    total: Verdict,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    clipped: Mapping[str, float],
    depths: Mapping[str, Finding],
) -> Verdict:
    # the input that shows it best: in the orthant where the unit really works, clipped deepest
    shown = min(clipped, key=lambda name: (not nonnegative.get(name, False), -clipped[name], name))
    shares = sorted(
        float(found.value)
        for name in clipped
        if (found := rows[name].get("clipped_fraction")) is not None and found.value is not None
    )
    # whole percents would call a single coordinate of thousands "0%"
    extent = f" ({100 * shares[0]:.3g} % to {100 * shares[-1]:.3g} % of the coordinates)" if shares else ""
    measured = sum(found.value is not None for found in depths.values())
    to = "zero" if all(constant.value == 0 for constant in activation.constants or ()) else "a constant"
    sentence = (
        f"The {activation.display} after the addition sets coordinates to {to} at {len(clipped)} of "
        f"{counted(measured)}{extent}: a neighbourhood of each such input is flattened onto a hyperplane, and the "
        "whole unit's Jacobian is singular there."
    )
    domain = "every neighbourhood of each of these inputs"
    if all(nonnegative.get(name, False) for name in clipped):
        domain += ", within the orthant of non-negative inputs too"
    dtype = depths[shown].dtype or "float64"
    return Verdict(
        unit,
        "unit",
        State.NOT_INJECTIVE_PROVEN,
        sentence,
        domain=domain,
        arithmetic=f"{dtype} forward pass; clipped by more than its rounding",
        counts=total.counts,
        evidence={
            "proof": "an open set is mapped into a hyperplane (invariance of domain)",
            "inputs": [shown],
            "clipped_depth": clipped[shown],
            "premises": [
                CONTINUOUS,
                "the coordinate lies below zero by more than the rounding of its forward pass",
            ],
        },
    )


def counted(number: int, word: str = "") -> str:
    """Return `2 inputs`, `1 more input`."""
    return f"{number} {word + ' ' if word else ''}{'input' if number == 1 else 'inputs'}"


def _is_clipped(depth: Finding) -> bool:
    return depth.value is not None and depth.value > CLIPPED_DEPTH[depth.dtype or "float64"]
