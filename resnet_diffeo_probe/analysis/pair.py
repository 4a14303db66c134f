"""One unit measured at one input: the smallest piece of work of an analysis."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from resnet_diffeo_probe.analysis.estimating import (
    counts_eigenvalues,
    estimates,
    inapplicable,
    quantities_at,
    rectangular,
)
from resnet_diffeo_probe.analysis.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.quantities import DETAILED
from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES
from resnet_diffeo_probe.bijectivity.inverse_consistency import inverse_consistency
from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian import UnitJacobian, measure
from resnet_diffeo_probe.jacobian.measures import activation_measures
from resnet_diffeo_probe.units import UnitActivations

__all__ = ["Outcome", "UnmeasuredError", "measure_pair"]

_CHEAP_INVERSES = frozenset(PROOF_QUANTITIES) - DETAILED


@dataclass(frozen=True)
class Outcome:
    """What measuring one unit at one input gave.

    Attributes:
        unit: its name.
        input: the input's name.
        findings: by quantity.
        nonnegative: whether the unit's input has no negative coordinate.
        seconds: that it took.
    """

    unit: str
    input: str
    findings: dict[str, Finding]
    nonnegative: bool
    seconds: float


class UnmeasuredError(Exception):
    """Why nothing was measured, for people: a worker that was stopped or lost."""


def measure_pair(plan: Plan, unit_plan: UnitPlan, name: str, seen: UnitActivations | Exception) -> Outcome:
    """Measure a unit; whatever goes wrong is a finding with its reason, and no exception.

    Args:
        plan: whose settings say what to measure.
        unit_plan: one of its units.
        name: of the input.
        seen: what a forward pass of the network showed at the unit, or how the pass failed.
    """
    started = time.perf_counter()
    unit = unit_plan.unit
    quantities = quantities_at(unit_plan, plan.settings)
    nonnegative = False
    found: dict[str, Finding] = {}
    try:
        if isinstance(seen, Exception):
            raise seen
        nonnegative = bool((seen.input >= 0).all())
        found |= activation_measures(
            seen.input,
            seen.branch,
            seen.sum,
            activation=unit.activation,
            preserves_dimension=unit.preserves_dimension,
        )
        if unit_plan.jacobian is not None:
            found |= measure(
                unit_plan.accelerated or unit_plan.jacobian,
                seen.input,
                quantities,
                max_bytes=plan.settings.memory / plan.settings.threads,
                counts=counts_eigenvalues(plan.settings, unit.name, name),
                seed=plan.settings.seed,
            )
            if wanted := _CHEAP_INVERSES & set(quantities):
                found |= _inverse(unit_plan.jacobian, seen.input, wanted)
        elif unit_plan.estimated is not None:
            found |= estimates(unit_plan, name, seen.input, plan.settings)
        elif not unit.preserves_dimension:
            found |= rectangular(unit_plan, seen.input, plan.settings)
    except Exception as error:
        # one input must not take the others with it: whatever went wrong here is this pair's row
        found |= dict.fromkeys((q for q in quantities if q not in found), _as_finding(error))
    found |= inapplicable(unit_plan)
    ordered = {q: found[q] for q in quantities if q in found}
    return Outcome(unit.name, name, ordered, nonnegative, time.perf_counter() - started)


def _inverse(jacobian: UnitJacobian, x: Tensor, wanted: frozenset[str]) -> dict[str, Finding]:
    """Return the cheap inverse errors that are wanted; the exact inverse belongs to the proofs."""
    findings = inverse_consistency(jacobian, x, exact=False).findings
    return {name: finding for name, finding in findings.items() if name in wanted}


def _as_finding(error: Exception) -> Finding:
    if isinstance(error, UnmeasuredError):
        return Finding.missing(Status.NOT_RUN, str(error))
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return Finding.missing(Status.NOT_RUN, f"out of memory ({text})")
    return Finding.missing(Status.ERROR, text)
