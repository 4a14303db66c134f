"""One unit measured at one input: the smallest piece of work of an analysis."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.measuring.undeclared import undeclared
from resnet_diffeo_probe.analysis.planning.estimating import (
    bytes_of_products,
    counts_eigenvalues,
    estimates,
    inapplicable,
    quantities_at,
    rectangular,
)
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.planning.quantities import DETAILED
from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES
from resnet_diffeo_probe.bijectivity.inverse.inverse_consistency import inverse_consistency
from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian import Determinant, UnitJacobian, measure
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.measure import bytes_of_measures, eliminates
from resnet_diffeo_probe.measures.record.measure import Of
from resnet_diffeo_probe.measures.registry import functions_of
from resnet_diffeo_probe.units import UnitActivations

__all__ = ["BegunPair", "OtherFunctionError", "UnmeasuredError", "measure_pair"]

_CHEAP_INVERSES = frozenset(PROOF_QUANTITIES) - DETAILED


class UnmeasuredError(Exception):
    """Why nothing was measured, for people: a worker that was stopped or lost."""


class OtherFunctionError(Exception):
    """Why what would be measured is not what the user's module computes, for people."""


def measure_pair(plan: Plan, unit_plan: UnitPlan, name: str, seen: UnitActivations | Exception) -> Outcome:
    """Measure a unit at once, whatever memory it needs; see `BegunPair`."""
    return BegunPair(plan, unit_plan, name, seen).measure()


class BegunPair:
    """A unit that is linearised at an input: what measuring it needs is known, and nothing is factorised yet.

    Whatever goes wrong is a finding with its reason, and no exception.

    Args:
        plan: whose settings say what to measure.
        unit_plan: one of its units.
        name: of the input.
        seen: what a forward pass of the network showed at the unit, or how the pass failed.

    Attributes:
        needs: bytes of factors, or of what takes their place, while it is measured; at most what the settings allow.
        linearized: the unit at the input; None where it has no Jacobian that is eliminated.
    """

    def __init__(self, plan: Plan, unit_plan: UnitPlan, name: str, seen: UnitActivations | Exception) -> None:
        started = time.perf_counter()
        self._settings, self._unit_plan, self._name, self._seen = plan.settings, unit_plan, name, seen
        self._quantities = quantities_at(unit_plan, plan.settings)
        self.linearized: Linearization | None = None
        self._failed: Exception | None = None
        self.needs = 0.0
        try:
            if not isinstance(seen, Exception):
                self._begin(seen.input)
        except Exception as error:
            # one input must not take the others with it: whatever went wrong here is this pair's row
            self._failed = error.with_traceback(None)  # which would keep alive what it was computed from
        self._seconds = time.perf_counter() - started

    @property
    def keeps_factors(self) -> bool | None:
        """Whether an elimination keeps its factors; None where there is none."""
        if self.linearized is None or self._failed is not None:
            return None
        return eliminates(self.linearized, self._quantities, max_bytes=self._settings.memory)

    def measure(self, factorized: Determinant | None = None) -> Outcome:
        """Measure what is asked for.

        Args:
            factorized: the determinant of the unit, where it was found together with those of other inputs.
        """
        started = time.perf_counter()
        seen, found, nonnegative = self._seen, dict[str, Finding](), False
        try:
            if isinstance(seen, Exception):
                raise seen
            nonnegative = bool((seen.input >= 0).all())
            found |= self._of_pass(seen)
            if self._failed is not None:
                raise self._failed
            self._add_jacobian(seen.input, found, factorized)
        except Exception as error:
            found |= dict.fromkeys((q for q in self._quantities if q not in found), _as_finding(error))
        found |= inapplicable(self._unit_plan)
        ordered = {q: found[q] for q in self._quantities if q in found}
        seconds = self._seconds + time.perf_counter() - started
        return Outcome(self._unit_plan.unit.name, self._name, ordered, nonnegative, seconds)

    def _begin(self, x: Tensor) -> None:
        jacobian, settings = self._eliminated, self._settings
        if jacobian is None:
            self.needs = bytes_of_products(self._unit_plan, settings)
        elif bool(torch.isfinite(x).all()):
            self.linearized = jacobian.at(x)
            self.needs = bytes_of_measures(self.linearized, self._quantities, max_bytes=settings.memory)

    @property
    def _eliminated(self) -> UnitJacobian | None:
        return self._unit_plan.accelerated or self._unit_plan.jacobian

    def _of_pass(self, seen: UnitActivations) -> dict[str, Finding]:
        unit, found = self._unit_plan.unit, dict[str, Finding]()
        for function in functions_of(self._quantities, Of.PASS):
            found |= function(
                seen.input,
                seen.branch,
                seen.sum,
                activation=unit.activation_record,
                preserves_dimension=unit.preserves_dimension,
            )
        return found

    def _add_jacobian(self, x: Tensor, found: dict[str, Finding], factorized: Determinant | None) -> None:
        """Add what is found of the Jacobian; what came before a failure stays."""
        unit_plan, settings = self._unit_plan, self._settings
        if (doubt := undeclared(unit_plan.unit, x, seed=settings.seed)) is not None:
            other = Finding.missing(Status.OTHER_FUNCTION, doubt)
            found |= dict.fromkeys((q for q in self._quantities if q not in found), other)
            return
        if unit_plan.estimated is not None:
            found |= estimates(unit_plan, self._name, x, settings)
            return
        if not unit_plan.unit.preserves_dimension:
            found |= rectangular(unit_plan, x, settings)
            return
        if unit_plan.jacobian is None or self._eliminated is None:
            return
        found |= measure(
            self._eliminated,
            x,
            self._quantities,
            max_bytes=settings.memory,
            counts=counts_eigenvalues(settings, unit_plan.unit.name, self._name),
            seed=settings.seed,
            linearized=self.linearized,
            factorized=factorized,
        )
        if wanted := _CHEAP_INVERSES & set(self._quantities):
            found |= _inverse(unit_plan.jacobian, x, wanted)


def _inverse(jacobian: UnitJacobian, x: Tensor, wanted: frozenset[str]) -> dict[str, Finding]:
    """Return the cheap inverse errors that are wanted; the exact inverse belongs to the proofs."""
    findings = inverse_consistency(jacobian, x, exact=False).findings
    return {name: finding for name, finding in findings.items() if name in wanted}


def _as_finding(error: Exception) -> Finding:
    if isinstance(error, UnmeasuredError):
        return Finding.missing(Status.NOT_RUN, str(error))
    if isinstance(error, OtherFunctionError):
        return Finding.missing(Status.OTHER_FUNCTION, str(error))
    if isinstance(error, UnsupportedUnitError):
        return Finding.missing(Status.NOT_RUN, error.what)
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if "derivative for" in text:
        return Finding.missing(
            Status.NOT_RUN, f"torch has no derivative for an operation of this unit ({text})"
        )
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return Finding.missing(Status.NOT_RUN, f"out of memory ({text})")
    return Finding.missing(Status.ERROR, text)
