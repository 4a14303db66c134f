"""Measures of units that have no exact ones: those that change the dimension, and those no exact method takes."""

from __future__ import annotations

import math
import zlib

from torch import Tensor

from resnet_diffeo_probe.analysis.planning.plan import UnitPlan
from resnet_diffeo_probe.analysis.planning.quantities import RECTANGULAR, Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian.estimators.work import MAX_FLOPS, bytes_of_bases
from resnet_diffeo_probe.jacobian.measures.estimated import (
    NO_SIGN,
    WITH_BASES,
    batch_of,
    bytes_of_estimates,
    estimated_measures,
)
from resnet_diffeo_probe.jacobian.measures.measure import JACOBIAN_QUANTITIES
from resnet_diffeo_probe.jacobian.measures.rectangular import MATRIX_COPIES
from resnet_diffeo_probe.measures.record.measure import Of
from resnet_diffeo_probe.measures.registry import functions_of

__all__ = [
    "bytes_of_products",
    "counts_eigenvalues",
    "estimates",
    "inapplicable",
    "quantities_at",
    "rectangular",
]

# Smaller side up to which a rectangular Jacobian is computed whole: its decomposition takes the cube of it.
_WHOLE = {Budget.QUICK: 512, Budget.STANDARD: 1024, Budget.FULL: 4096}
# Operations of the iterations on a larger one: two seconds of one core, or half a minute.
_FLOPS = {Budget.QUICK: 3e10, Budget.STANDARD: 3e10, Budget.FULL: MAX_FLOPS}
_MAX_BYTES = 2**30
# Counting all real eigenvalues below −1, where dozens lie there, takes longer than everything else together. In the
# standard budget it checks the parity of one pair of unit and input in this many.
_COUNTED_SHARE = 8


def counts_eigenvalues(settings: Settings, unit: str, name: str) -> bool:
    """Return whether the real eigenvalues below −1 are all counted at an input, however many there are.

    Args:
        settings: in the full budget, or where the count is asked for by name, it is made at every input.
        unit: its name.
        name: of the input. The sample depends on both names alone, not on the other inputs.
    """
    if settings.budget is Budget.FULL or "real_eigenvalues_below_minus_one" in settings.measures:
        return True
    return zlib.crc32(f"{unit}\0{name}".encode("utf-8", "surrogatepass")) % _COUNTED_SHARE == 0


def rectangular(unit_plan: UnitPlan, x: Tensor, settings: Settings) -> dict[str, Finding]:
    """Measure the rectangular Jacobian of the sum map of a unit that changes the dimension.

    Args:
        unit_plan: the unit.
        x: (1, *shape) its input.
        settings: the budget decides up to which size the whole matrix is computed.

    Returns:
        The quantities of `RECTANGULAR` that are asked for.
    """
    found: dict[str, Finding] = {}
    for function in functions_of(settings.quantities, Of.RECTANGULAR):
        found |= function(
            unit_plan.unit.sum_map,
            x,
            max_dense=_WHOLE[settings.budget],
            max_bytes=min(_MAX_BYTES, settings.memory),
            max_flops=_FLOPS[settings.budget],
            batch=batch_of(unit_plan.unit.sum_map, x),
            seed=settings.seed,
        )
    return {q: found[name] for q, name in RECTANGULAR.items() if q in settings.quantities}


def estimates(unit_plan: UnitPlan, name: str, x: Tensor, settings: Settings) -> dict[str, Finding]:
    """Estimate what products tell of a unit whose branch no exact method takes; the rest is not run, with the reason.

    Args:
        unit_plan: whose `estimated` says why.
        name: of the input.
        x: (1, *shape) the unit's input.
        settings: what to measure.
    """
    reason = unit_plan.estimated or ""
    found = estimated_measures(
        unit_plan.unit.sum_map,
        x,
        settings.quantities,
        because=reason,
        max_bytes=settings.memory,
        counts=counts_eigenvalues(settings, unit_plan.unit.name, name),
        seed=settings.seed,
    )
    unknown = Finding.missing(Status.NOT_RUN, reason)
    missing = dict.fromkeys((*JACOBIAN_QUANTITIES, *PROOF_QUANTITIES), unknown)
    missing["sign"] = Finding.missing(Status.NOT_RUN, f"{reason}; {NO_SIGN}")
    return missing | found


def bytes_of_products(unit_plan: UnitPlan, settings: Settings) -> float:
    """Return the memory that `estimates` or `rectangular` take for one input, at most.

    Args:
        unit_plan: a unit without an exact determinant.
        settings: what to measure.
    """
    unit, asked = unit_plan.unit, set(settings.quantities)
    rows, columns = (math.prod(shape) for shape in (unit.output_shape, unit.input_shape))
    if unit.preserves_dimension:
        wanted = unit_plan.estimated is not None and asked & WITH_BASES
        return bytes_of_estimates(columns, max_bytes=settings.memory) if wanted else 0.0
    if not asked & set(RECTANGULAR):
        return 0.0
    allowed = min(_MAX_BYTES, settings.memory)
    whole = MATRIX_COPIES * 8.0 * rows * columns
    if min(rows, columns) <= _WHOLE[settings.budget] and whole <= allowed:
        return whole
    return bytes_of_bases(rows, columns, max_bytes=allowed)


def inapplicable(unit_plan: UnitPlan) -> dict[str, Finding]:
    """Return the quantities that do not exist for a unit: of a square Jacobian, or of a rectangular one."""
    if unit_plan.unit.preserves_dimension:
        reason = "the unit keeps the dimension: its Jacobian is square"
        return dict.fromkeys(
            RECTANGULAR, Finding.missing(Status.NOT_APPLICABLE, reason, Evidence.NOT_APPLICABLE)
        )
    reason = unit_plan.not_applicable or "the unit changes the dimension"
    none = Finding.missing(Status.NOT_APPLICABLE, reason, Evidence.NOT_APPLICABLE)
    return dict.fromkeys((*JACOBIAN_QUANTITIES, *PROOF_QUANTITIES), none)


def quantities_at(unit_plan: UnitPlan, settings: Settings) -> tuple[str, ...]:
    """Return what gets a row for a unit: of a unit with a determinant, rectangular quantities only where named."""
    left_out = set(RECTANGULAR) - set(settings.measures) if unit_plan.unit.preserves_dimension else set()
    return tuple(q for q in settings.quantities if q not in left_out)
