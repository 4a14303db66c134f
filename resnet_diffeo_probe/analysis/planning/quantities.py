"""What can be measured, and how much of it a budget buys."""

from __future__ import annotations

from enum import StrEnum

from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES
from resnet_diffeo_probe.jacobian import QUANTITIES as UNIT_QUANTITIES
from resnet_diffeo_probe.jacobian.measures.rectangular import RECTANGULAR_QUANTITIES

__all__ = ["DETAILED", "QUANTITIES", "RECTANGULAR", "Budget", "quantities_of"]

#: Of units that change the dimension, whose Jacobian has no determinant: stored name -> name in `rectangular_measures`.
RECTANGULAR = {f"rectangular_{name}": name for name in RECTANGULAR_QUANTITIES}
#: All measures of a unit at an input, in the order in which they are stored.
QUANTITIES = (*UNIT_QUANTITIES, *RECTANGULAR, *PROOF_QUANTITIES)
#: Those that take a dozen factorisations an input; the standard budget computes them at one input of each unit.
DETAILED = frozenset(PROOF_QUANTITIES) - {"inverse_error_euler", "inverse_error_fixed_point"}

# What is there to be compared with other tools, and says nothing that an exact measure does not say.
_COMPARISONS = frozenset({"logabsdet_power_series"})
_QUICK = ("sign", "logabsdet", "sign_margin", "residual_ratio", "clipped_fraction", "clipped_depth")


class Budget(StrEnum):
    """How much is measured where no list of measures is given."""

    QUICK = "quick"  # the determinant and what one forward pass tells
    STANDARD = (
        "standard"  # also singular values, eigenvalues, the paper's inverse; proofs, references, refinement
    )
    # also the exact inverse at every input and a certified radius around each, all eigenvalues below −1 counted,
    # whole rectangular Jacobians, the power series for comparison, the metric pulled back to the pixels
    FULL = "full"


def quantities_of(budget: Budget) -> tuple[str, ...]:
    """Return the measures of a budget."""
    if budget is Budget.QUICK:
        return _QUICK
    if budget is Budget.STANDARD:
        return tuple(q for q in QUANTITIES if q not in DETAILED | _COMPARISONS)
    return QUANTITIES
