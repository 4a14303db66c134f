"""The fold between two inputs of opposite sign, for a branch with piecewise linear activations.

Along a segment the sign of det J changes where one hidden unit k crosses a kink of its activation. There
J₊ = J₋ + δ u vᵀ, with u the unit's effect on the output, v its gradient, δ the change of the activation's slope, and
the sign changes exactly if 1 + δ vᵀ J₋⁻¹ u = −κ < 0 (matrix determinant lemma).

See docs/mathematics.md, "What proves a fold".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.branch import is_piecewise_linear, kinked_steps, norm
from resnet_diffeo_probe.jacobian import JacobianAt, JacobianFactorization, Linearization, UnitJacobian

__all__ = ["FoldPoint", "HiddenUnit", "find_fold", "kink_crossings", "sign_changes"]

# Where along a segment the sign is looked at before bisecting: closer together towards both inputs, since a fold
# near a real input says most.
_SCAN = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 15 / 16, 31 / 32)
# Bisections of the segment; each halves the crossings in between (there are at most some 2^20) or the interval.
_MAX_BISECTIONS = 90


@dataclass(frozen=True)
class HiddenUnit:
    """One coordinate of one activation.

    Attributes:
        cut: which activation, 1-based as in `UnitJacobian.cuts`.
        index: its position in the flattened (C, *spatial).
        kink: the kink of the activation that is crossed.
    """

    cut: int
    index: int
    kink: float


@dataclass(frozen=True, eq=False)
class FoldPoint:
    """A point of a segment where crossing a kink of one hidden unit changes the sign of det J.

    Attributes:
        point: (1, *shape) on the kink, up to rounding.
        hidden: the unit that crosses.
        before: linearisation in the cell before the crossing; its Jacobian is that of the whole cell.
        factorization: of the Jacobian there.
        after: linearisation in the cell behind the crossing.
        direction: (1, *shape) q = J₋⁻¹ u: along p + s q the map turns back on itself.
        kappa: κ > 0 with 1 + δ vᵀ q = −κ.
        rise: vᵀ q, how fast the unit's pre-activation moves along q.
        upward: whether the cell behind is the one of larger pre-activations.
        position: where on the segment the point lies, in (0, 1).
        distance: ‖point − nearest end of the segment‖ / ‖that end‖.
        nearest: 0 or 1, which end that is.
        evaluations: determinants computed on the way.
    """

    point: Tensor
    hidden: HiddenUnit
    before: Linearization
    factorization: JacobianFactorization
    after: Linearization
    direction: Tensor
    kappa: float
    rise: float
    upward: bool
    position: float
    distance: float
    nearest: int
    evaluations: int


class _Segment:
    """The segment from a to b with the signs found on it."""

    def __init__(self, jacobian: UnitJacobian, a: Tensor, b: Tensor, signs: tuple[int, int]) -> None:
        self.jacobian, self.a, self.b = jacobian, a, b
        self._signs = {0.0: signs[0], 1.0: signs[1]}
        self.evaluations = 0

    def at(self, t: float) -> JacobianAt:
        return self.jacobian.at(torch.lerp(self.a, self.b, t))

    def sign(self, t: float) -> int:
        if t not in self._signs:
            self.evaluations += 1
            self._signs[t] = self.at(t).factorize().sign
        return self._signs[t]


def sign_changes(sign: Callable[[float], int], nodes: tuple[float, ...] = _SCAN) -> list[tuple[float, float]]:
    """Return the neighbouring nodes of [0, 1] with opposite signs, those nearest to an end of [0, 1] first.

    Args:
        sign: of the determinant at a position; 0 where it is singular.
        nodes: where to look besides 0 and 1.
    """
    grid = (0.0, *nodes, 1.0)
    signs = [sign(t) for t in grid]
    found = [(s, t) for s, t, p, q in zip(grid, grid[1:], signs, signs[1:], strict=False) if p * q == -1]
    return sorted(found, key=lambda pair: min(pair[0], 1 - pair[1]))


def find_fold(
    jacobian: UnitJacobian, a: Tensor, b: Tensor, signs: tuple[int, int], *, scan: tuple[float, ...] = _SCAN
) -> FoldPoint | None:
    """Find a fold on the segment between two inputs of opposite sign.

    Args:
        jacobian: of a unit whose activations are piecewise linear.
        a: (1, *shape).
        b: (1, *shape).
        signs: of det J at a and b, opposite and not zero.
        scan: positions in (0, 1), ascending, that are tried first.

    Returns:
        The fold, among the sign changes that the scan sees one nearest to an end; None if bisection ends at several
        units that cross at one point.

    Raises:
        ValueError: the signs are not opposite, or an activation is not piecewise linear.
    """
    if signs[0] * signs[1] != -1:
        raise ValueError(f"the signs {signs} are not opposite")
    if not is_piecewise_linear(jacobian):
        raise ValueError("an activation of the branch is not piecewise linear")
    segment = _Segment(jacobian, a, b, signs)
    for lo, hi in sign_changes(segment.sign, scan):
        bracket = _bisect(segment, lo, hi)
        if bracket is not None:
            fold = _fold_between(segment, *bracket)
            if fold is not None:
                return fold
    return None


def kink_crossings(lo: Linearization, hi: Linearization) -> list[tuple[HiddenUnit, float]]:
    """Return every (hidden unit, fraction of the way from lo to hi) at which a kink is passed, by linear interpolation.

    Exact for one hidden layer; for later layers exact once only one unit crosses.
    """
    found: list[tuple[HiddenUnit, float]] = []
    acts = kinked_steps(lo.parent) or ()
    for cut, (act, z0, z1) in enumerate(zip(acts, lo.pre_activations, hi.pre_activations, strict=True), 1):
        first, last = z0.reshape(-1), z1.reshape(-1)
        for kink in act.kinks:
            # the derivative at a kink itself belongs to the lower side (ReLU' (0) = 0), so "above" is strict
            crossed = ((first > kink) != (last > kink)).nonzero().squeeze(1)
            fractions = (kink - first[crossed]) / (last[crossed] - first[crossed])
            found += [
                (HiddenUnit(cut, index, kink), fraction)
                for index, fraction in zip(crossed.tolist(), fractions.tolist(), strict=True)
            ]
    return found


def _bisect(segment: _Segment, lo: float, hi: float) -> tuple[float, float, HiddenUnit, float] | None:
    """Shrink (lo, hi) until one hidden unit crosses a kink in it; the signs at its ends stay opposite."""
    lin_lo, lin_hi = segment.at(lo), segment.at(hi)
    for step in range(_MAX_BISECTIONS):
        crossings = kink_crossings(lin_lo, lin_hi)
        if len(crossings) == 1:
            hidden, fraction = crossings[0]
            return lo, hi, hidden, lo + fraction * (hi - lo)
        if not crossings:
            return None
        fractions = sorted(fraction for _, fraction in crossings)
        half = len(fractions) // 2
        # between the two middle crossings; with several hidden layers these are estimates, so every third step is
        # the plain midpoint
        middle = 0.5 if step % 3 == 2 else (fractions[half - 1] + fractions[half]) / 2
        t = lo + middle * (hi - lo)
        if not lo < t < hi:
            return None
        sign = segment.sign(t)
        if sign == 0:
            return None
        if sign == segment.sign(lo):
            lo, lin_lo = t, segment.at(t)
        else:
            hi, lin_hi = t, segment.at(t)
    return None


def _fold_between(
    segment: _Segment, lo: float, hi: float, hidden: HiddenUnit, position: float
) -> FoldPoint | None:
    """Work out the rank-one change at the crossing."""
    before, after = segment.at(lo), segment.at(hi)
    cut = hidden.cut
    unit_vector = torch.zeros_like(before.pre_activations[cut - 1])
    unit_vector.view(-1)[hidden.index] = 1
    effect = before.left(unit_vector, cut)
    gradient = before.right_transpose(unit_vector, cut)
    factorization = before.factorize(keep=True)
    if factorization.sign == 0:
        return None
    direction = factorization.solve(effect)
    rise = float((gradient * direction).sum())
    slopes = [float(lin.derivatives[cut - 1].view(-1)[hidden.index]) for lin in (before, after)]
    kappa = -(1 + (slopes[1] - slopes[0]) * rise)
    if not kappa > 0:
        return None
    point = torch.lerp(segment.a, segment.b, position)
    ends = [norm(point - end) / max(norm(end), 1e-300) for end in (segment.a, segment.b)]
    nearest = 0 if ends[0] <= ends[1] else 1
    pre = [float(lin.pre_activations[cut - 1].view(-1)[hidden.index]) for lin in (before, after)]
    return FoldPoint(
        point,
        hidden,
        before,
        factorization,
        after,
        direction,
        kappa,
        rise,
        pre[1] > pre[0],
        position,
        ends[nearest],
        nearest,
        segment.evaluations,
    )
