"""Where in the image a unit clips, where its weakest direction lives, and where its fold lies: maps over positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.measuring.admission import Admission
from resnet_diffeo_probe.analysis.steps.raster import values_picture
from resnet_diffeo_probe.bijectivity import Witness
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.measures.singular_vector import smallest_singular_vector
from resnet_diffeo_probe.units import ResidualUnit, UnitActivations

__all__ = ["SpatialMap", "clipped_map", "fold_normal_map", "singular_vector_map"]

# The smallest set of positions that is said to hold an energy.
_MOST = 0.9


@dataclass(frozen=True)
class SpatialMap:
    """One map over the positions of a unit's input or output, or why there is none.

    Attributes:
        kind: `"clipped"`, `"singular_vector"` or `"fold_normal"`.
        values: (H, W); None with a reason.
        high: the value of the scale's upper end; the lower one is 0.
        numbers: what the picture says, JSON values.
        reason: why there are no values.
        failed: whether an error is that reason, which another attempt need not meet.
    """

    kind: str
    values: Tensor | None
    high: float = 1.0
    numbers: dict[str, float | int | str] | None = None
    reason: str | None = None
    failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the object of `result.json` without the unit and the input."""
        picture = None if self.values is None else values_picture(self.values, 0.0, self.high).to_json()
        return {"kind": self.kind, "picture": picture, "numbers": self.numbers or {}, "reason": self.reason}


def clipped_map(unit: ResidualUnit, seen: UnitActivations) -> SpatialMap:
    """Return the share of channels that the activation after the addition sets to a constant, at each position.

    Args:
        unit: whose activation decides.
        seen: what went through the unit, (1, C, H, W).
    """
    record = unit.activation_record
    if record is not None and record.constants is None:
        reason = f"whether {record.name} clips coordinates is not known"
        return SpatialMap("clipped", None, reason=reason)
    if record is None or not record.constants:
        return SpatialMap("clipped", None, reason="no ReLU follows the addition: nothing is clipped")
    clipped = torch.zeros_like(seen.sum, dtype=torch.bool)
    for low, high, _ in record.constants:
        clipped |= (seen.sum >= low) & (seen.sum <= high)
    share = clipped[0].double().mean(0)
    numbers: dict[str, float | int | str] = {
        "mean": float(share.mean()),
        "least": float(share.min()),
        "greatest": float(share.max()),
    }
    return SpatialMap("clipped", share, 1.0, numbers)


def singular_vector_map(jacobian: UnitJacobian, x: Tensor, *, admission: Admission, seed: int) -> SpatialMap:
    """Return the energy, over channels, of the direction that the sum map shrinks most at an input.

    Args:
        jacobian: of the unit.
        x: (1, C, H, W) its input.
        admission: the memory for factors, shared with others that draw.
        seed: of the start vector.

    Raises:
        ArithmeticError: the iteration did not converge.
    """
    lin = jacobian.at(x)
    if lin.factor_bytes() > admission.limit:
        return SpatialMap("singular_vector", None, reason="the factors do not fit into the memory allowed")
    with admission.admit(lin.factor_bytes()):
        factorization = lin.factorize(keep=True)
        if factorization.sign == 0:
            reason = "J is singular here: there are no solves with it"
            return SpatialMap("singular_vector", None, reason=reason)
        vector, size = smallest_singular_vector(factorization, seed=seed)
        del factorization  # its memory is the next one's
    return _energy("singular_vector", vector, {"stretch": size})


def fold_normal_map(jacobian: UnitJacobian, witness: Witness | None) -> SpatialMap:
    """Return the energy, over channels, of the normal of the fold that a pair of the sum map lies on either side of.

    The fold is where the pre-activation of one hidden unit is at its kink: its normal is the gradient of that
    pre-activation, taken at the pair's first point.

    Args:
        jacobian: of the unit.
        witness: of the sum map, None where there is none.
    """
    cut, index = (None if witness is None else witness.about.get(k) for k in ("hidden_layer", "hidden_index"))
    if witness is None or not isinstance(cut, int) or not isinstance(index, int) or not cut:
        reason = "no pair" if witness is None else f"the pair was found by another way ({witness.kind})"
        return SpatialMap(
            "fold_normal", None, reason=f"{reason}: no hidden unit's kink is known to be a fold"
        )
    lin = jacobian.at(witness.x1)
    weight = torch.zeros_like(lin.pre_activations[cut - 1])
    weight.view(-1)[index] = 1
    normal = lin.right_transpose(weight, cut).reshape(witness.x1.shape)
    return _energy("fold_normal", normal, {"hidden_layer": cut, "hidden_index": index})


def _energy(kind: str, vector: Tensor, numbers: dict[str, float | int | str]) -> SpatialMap:
    energy = (vector[0].double() ** 2).sum(0)
    total = float(energy.sum())
    if total == 0:
        return SpatialMap(kind, None, reason="the direction is zero")
    share = energy / total
    ordered = share.flatten().sort(descending=True).values
    # rounding may leave the sum of all shares below what is asked for
    most = min(int((ordered.cumsum(0) < _MOST).sum()) + 1, ordered.numel())
    row, column = divmod(int(share.argmax()), share.shape[1])
    found = numbers | {
        "positions": share.numel(),
        "positions_with_90_percent": most,
        "greatest_share": float(ordered[0]),
        "row": row,
        "column": column,
    }
    return SpatialMap(kind, share, float(ordered[0]), found)
