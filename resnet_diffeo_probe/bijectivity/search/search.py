"""From the signs at many inputs to the best witnesses of a unit: which inputs, which fold, how large a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity.branch import is_piecewise_linear, norm, sum_map
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds, branch_bounds
from resnet_diffeo_probe.bijectivity.inverse.newton import newton
from resnet_diffeo_probe.bijectivity.search.clipped import pair_by_clipping
from resnet_diffeo_probe.bijectivity.search.fold import FoldPoint, find_fold
from resnet_diffeo_probe.bijectivity.search.growth import grow
from resnet_diffeo_probe.bijectivity.search.piecewise import pair_at_fold
from resnet_diffeo_probe.bijectivity.search.smooth_fold import find_smooth_fold, pair_at_smooth_fold
from resnet_diffeo_probe.bijectivity.witnesses.witness import (
    EQUATION,
    UnitMaps,
    Witness,
    check,
    established,
    in_orthant,
)
from resnet_diffeo_probe.jacobian import UnitJacobian

__all__ = ["SearchEffort", "clipping_witness", "fold_witness"]

# Outputs of a ReLU lie on the boundary of the orthant. They are lifted off it by this share of their mean, so that
# a pair has room on both sides.
_LIFT = 0.01


@dataclass(frozen=True)
class SearchEffort:
    """How much is spent on a witness.

    Attributes:
        pairs: pairs of inputs tried, nearest first, until one gives a proof.
        growth: Jacobians factorised to grow a pair, for each of the two domains.
        twins: inputs around which a twin, another point with their very image, is looked for.
    """

    pairs: int = 3
    growth: int = 8
    twins: int = 3


def fold_witness(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    inputs: Tensor,
    signs: Sequence[int | None],
    names: Sequence[str],
    *,
    module: nn.Module | None = None,
    effort: SearchEffort | None = None,
    bounds: BranchBounds | None = None,
) -> Witness | None:
    """Return a pair x₁ ≠ x₂ with g(x₁) = g(x₂) from inputs of opposite sign.

    Args:
        unit: float64.
        jacobian: of that unit.
        inputs: (N, *shape) float64, the unit's inputs.
        signs: of det J at each, None or 0 where it is not certain.
        names: of the inputs.
        module: the user's network in float64 and evaluation mode, for the second check.
        effort: how much to spend.
        bounds: of the branch, made here if None.

    Returns:
        A witness that is a proof, in the non-negative orthant if all went well and the inputs lie in it; the pair grown
        beyond that is its `grown`. A numerical pair where none could be proven; None if there are no opposite signs or
        no pair was found.
    """
    effort = effort or SearchEffort()
    pairs = nearest_opposite(inputs, signs)[: effort.pairs]
    bounds = branch_bounds(jacobian) if bounds is None and pairs else bounds
    numerical: Witness | None = None
    for plus, minus in pairs:
        ends = (inputs[plus : plus + 1], inputs[minus : minus + 1])
        about: dict[str, Any] = {"inputs": [names[plus], names[minus]]}
        for a, b, s in _stretches(jacobian, *ends):
            found = _between(unit, jacobian, a, b, s, effort, module, bounds)
            if found is not None:
                point = found.about.pop("point")
                distances = [norm(point - end) / max(norm(end), 1e-300) for end in ends]
                nearest = 0 if distances[0] <= distances[1] else 1
                found = found.with_about(
                    **about, nearest_input=about["inputs"][nearest], fold_distance=distances[nearest]
                )
                if found.is_proof or bounds is None:  # without bounds no pair of this unit can be proven
                    return found
                numerical = numerical or found
    return numerical


def nearest_opposite(inputs: Tensor, signs: Sequence[int | None]) -> list[tuple[int, int]]:
    """Return the pairs (positive, negative) of inputs, those nearest to each other relative to their norms first."""
    flat = inputs.reshape(inputs.shape[0], -1)
    sizes = torch.linalg.vector_norm(flat, dim=1).clamp_min(1e-300)
    pairs = [(p, m) for p, s in enumerate(signs) if s == 1 for m, t in enumerate(signs) if t == -1]
    return sorted(
        pairs, key=lambda pm: norm(flat[pm[0]] - flat[pm[1]]) / float(min(sizes[pm[0]], sizes[pm[1]]))
    )


def _stretches(
    jacobian: UnitJacobian, a: Tensor, b: Tensor
) -> Iterator[tuple[Tensor, Tensor, tuple[int, int]]]:
    """Yield the stretches of a → a lifted → b lifted → b whose ends have opposite signs, near an input first."""
    if not (in_orthant(a) and in_orthant(b)):
        yield a, b, (1, -1)
        return
    lifted = [x + _LIFT * x.mean() for x in (a, b)]
    signs = [jacobian.at(x).factorize().sign for x in lifted]
    if signs[0] == -1:
        yield a, lifted[0], (1, -1)
    if signs[1] == 1:
        yield lifted[1], b, (1, -1)
    if signs[0] * signs[1] == -1:
        yield lifted[0], lifted[1], (signs[0], signs[1])
    yield a, b, (1, -1)


def _between(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    a: Tensor,
    b: Tensor,
    signs: tuple[int, int],
    effort: SearchEffort,
    module: nn.Module | None,
    bounds: BranchBounds | None,
) -> Witness | None:
    """Return the pair from the fold between two points, grown, a proof if it can be; `about` holds the fold's point."""
    orthant = in_orthant(a) and in_orthant(b)
    if is_piecewise_linear(jacobian):
        fold = find_fold(jacobian, a, b, signs)
        if fold is None:
            return None
        pair = _polished(jacobian, *pair_at_fold(fold, room=fold.point if orthant else None))
        point, kind, about = fold.point, "fold", _about_fold(fold)
    else:
        smooth = find_smooth_fold(jacobian, a, b, signs)
        near = None if smooth is None else pair_at_smooth_fold(jacobian, smooth)
        if smooth is None or near is None:
            return None
        point, kind, pair = smooth.point, "smooth fold", near
        about = {"smallest_stretch": smooth.stretch}
    first = check(unit, "sum", *pair, kind, module=module)
    about |= {"first_distance": first.distance, "first_relative_distance": first.relative_distance}
    best = first
    if orthant and first.in_orthant:
        inside = grow(jacobian, *pair, origin=point, inside=in_orthant, max_factorizations=effort.growth)
        best = _larger(best, check(unit, "sum", inside.x1, inside.x2, kind, module=module))
    free = grow(jacobian, best.x1, best.x2, origin=point, max_factorizations=effort.growth)
    grown = _larger(best, check(unit, "sum", free.x1, free.x2, kind, module=module))
    candidates = [w for w in ((best,) if best is first else (best, first)) if w.agrees]
    best = next((p for w in candidates if (p := established(w, unit, jacobian, bounds)).is_proof), best)
    grown = best if grown.distance <= best.distance else established(grown, unit, jacobian, bounds)
    if not (best.agrees or grown.agrees):
        return None
    if not grown.is_proof and best.is_proof:
        grown = best
    about |= {
        "grown_distance": grown.distance,
        "grown_relative_distance": grown.relative_distance,
        "growth_ended": free.ended,
        "point": point,
    }
    if (grown.is_proof and not best.is_proof) or not best.agrees or grown.in_orthant or not best.in_orthant:
        return replace(grown, about=about)
    return replace(best, about=about, grown=grown if grown is not best else None)


def _about_fold(fold: FoldPoint) -> dict[str, Any]:
    return {
        "hidden_layer": fold.hidden.cut,
        "hidden_index": fold.hidden.index,
        "determinant_ratio": -fold.kappa,
        "determinants_computed": fold.evaluations,
    }


def _larger(first: Witness, second: Witness) -> Witness:
    """Return the second if its images agree and it is larger, or those of the first do not."""
    better = second.agrees and (second.distance > first.distance or not first.agrees)
    return second if better else first


def _polished(jacobian: UnitJacobian, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    """Correct x₂ where rounding along the line, relative to a tiny pair, is near what a proof allows."""
    y = sum_map(jacobian, x1)
    if norm(sum_map(jacobian, x2) - y) <= EQUATION / 100 * norm(x1 - x2):
        return x1, x2
    solved = newton(jacobian, y, x2, max_factorizations=2, damped=False)
    return x1, solved.x if norm(solved.x - x1) > norm(x2 - x1) / 2 else x2


def clipping_witness(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    inputs: Tensor,
    names: Sequence[str],
    *,
    module: nn.Module | None = None,
    attempts: int = 2,
    bounds: BranchBounds | None = None,
) -> Witness | None:
    """Return a pair x₁ ≠ x₂ with one output of the whole unit, from a coordinate that its ReLU clips.

    Args:
        unit: float64, with a ReLU after its addition.
        jacobian: of that unit.
        inputs: (N, *shape) float64, the unit's inputs; those clipped deepest are tried first.
        names: of the inputs.
        module: the user's network in float64 and evaluation mode, for the second check.
        attempts: inputs to try.
        bounds: of the branch, made where they are needed.

    Returns:
        A witness that is a proof, both points in the non-negative orthant where the input is; a numerical pair where
        none could be proven; None if there is none.
    """
    with torch.no_grad():
        depth = [float(unit.sum_map(inputs[i : i + 1]).min()) for i in range(inputs.shape[0])]
    bounds = branch_bounds(jacobian) if bounds is None else bounds
    numerical: Witness | None = None
    deepest = sorted((i for i in range(len(depth)) if depth[i] < 0), key=lambda i: depth[i])
    for i in deepest[:attempts]:
        x = inputs[i : i + 1]
        orthant = in_orthant(x)
        start = x + _LIFT * x.mean() if orthant else x
        pair = pair_by_clipping(jacobian, start, orthant=orthant)
        if pair is None:
            continue
        distance = norm(start - x) / max(norm(x), 1e-300)
        found = check(
            unit, "unit", *pair, "clipped coordinate", module=module, jacobian=jacobian, bounds=bounds
        )
        if found.agrees:
            found = found.with_about(
                inputs=[names[i]],
                nearest_input=names[i],
                first_distance=found.distance,
                input_distance=distance,
            )
            if found.is_proof:
                return found
            numerical = numerical or found
    return numerical
