"""Whether attribution and ablation order the units alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Agreement", "agreement", "rank_correlation"]

#: With fewer units an order says nothing.
FEWEST_UNITS = 4


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation of conductance and ablation over the units, at each input.

    Attributes:
        correlations: one an input; None where there is none.
        median: of those there are; None where there are none.
        units: over how many units.
        reason: why there is no median.
    """

    correlations: tuple[float | None, ...]
    median: float | None
    units: int
    reason: str | None = None


def agreement(conductances: Sequence[Sequence[float]], drops: Sequence[Sequence[float | None]]) -> Agreement:
    """Correlate the ranks of two accounts of what the units do.

    Args:
        conductances: for each input, the branch conductance of each unit.
        drops: for each input, the drop of the logit without each branch; None where it is not finite.
    """
    units = len(conductances[0]) if conductances else 0
    if units < FEWEST_UNITS:
        reason = f"{units} units are too few for an order, at least {FEWEST_UNITS} are needed"
        return Agreement((None,) * len(conductances), None, units, reason)
    found = tuple(rank_correlation(a, b) for a, b in zip(conductances, drops, strict=True))
    known = [value for value in found if value is not None]
    if not known:
        return Agreement(
            found, None, units, "a value is constant over the units, or not finite, at every input"
        )
    return Agreement(found, statistics.median(known), units)


def rank_correlation(first: Sequence[float], second: Sequence[float | None]) -> float | None:
    """Return Spearman's rank correlation; None for fewer than four pairs, or where a side is constant.

    Args:
        first: one value a unit.
        second: likewise; pairs with None are left out.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if b is not None]
    a, b = np.array(pairs).reshape(-1, 2).T
    # a constant has no order, and scipy warns of it
    if len(pairs) < FEWEST_UNITS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(stats.spearmanr(a, b).statistic)
