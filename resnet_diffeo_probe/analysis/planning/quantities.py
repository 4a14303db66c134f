"""What can be measured, and how much of it a budget buys."""

from __future__ import annotations

from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Of
from resnet_diffeo_probe.measures.registry import MEASURES, keys_of

__all__ = ["DETAILED", "QUANTITIES", "RECTANGULAR", "Budget", "quantities_of"]

_MEASURED = tuple(measure for measure in MEASURES if measure.of is not Of.NOTHING)

#: Of units that change the dimension, whose Jacobian has no determinant: stored name -> name in `rectangular_measures`.
RECTANGULAR = {m.key: m.products or m.key for m in _MEASURED if m.of is Of.RECTANGULAR}
#: All measures of a unit at an input, in the order in which they are stored.
QUANTITIES = tuple(measure.key for measure in _MEASURED)
#: Those that take a dozen factorisations an input; the standard budget computes them at one input of each unit.
DETAILED = frozenset(keys_of(*Of, cost=[Cost.ELIMINATIONS]))


def quantities_of(budget: Budget) -> tuple[str, ...]:
    """Return the measures of a budget."""
    order = list(Budget)
    return tuple(m.key for m in _MEASURED if order.index(m.budget) <= order.index(budget))
