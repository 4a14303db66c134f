"""What is going to be measured: which units on which inputs, how, and why others are not."""

from __future__ import annotations

import fnmatch
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_diffeo_probe.analysis.gate import LEFT_OUT
from resnet_diffeo_probe.analysis.memory import physical_memory
from resnet_diffeo_probe.analysis.quantities import DETAILED, QUANTITIES, Budget, quantities_of
from resnet_diffeo_probe.attribution.baseline import Baseline
from resnet_diffeo_probe.errors import ConfigurationError, NoUnitError, UnsupportedUnitError
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.device import compute_device, device_memory
from resnet_diffeo_probe.nearest import nearest
from resnet_diffeo_probe.units import Discovery, ResidualUnit

__all__ = ["ESTIMATE", "Plan", "Settings", "UnitPlan", "make_plan", "prepared"]

#: What takes the place of an exact method.
ESTIMATE = "estimate by Lanczos quadrature"


@dataclass(frozen=True)
class Settings:
    """How an analysis is made.

    Attributes:
        units: shell patterns; a unit is analysed if its name matches one. Empty: all.
        measures: names of quantities; empty: those of the budget.
        budget: used where `measures` is empty.
        dtype: `"float64"` or `"float32"`, of everything that is computed.
        seed: of start vectors, random checks, synthetic inputs.
        workers: measurements at the same time; None for as many as there are cores for.
        threads_per_worker: of the linear algebra of each. It changes last bits; the number of workers does not.
        max_bytes: memory that the factors of all measurements in progress on one machine may take together; None for
            three quarters of the machine's. One measurement may take all of it, so that what is computed exactly does
            not depend on how many workers there are.
        baseline: what inputs are compared with where predictions and violations are attributed.
        device: where Jacobians are eliminated: `"auto"`, `"cpu"`, `"cuda"` or `"cuda:N"`. Everything else, proofs and
            their checks included, stays on the CPU.
    """

    units: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    budget: Budget = Budget.STANDARD
    dtype: str = "float64"
    seed: int = 0
    workers: int | None = None
    threads_per_worker: int = 1
    max_bytes: float | None = None
    baseline: Baseline = Baseline.ZERO
    device: str = "cpu"

    def __post_init__(self) -> None:
        if unknown := [m for m in self.measures if m not in QUANTITIES]:
            near = nearest(unknown[0], QUANTITIES)
            raise ConfigurationError(
                f"there is no measure '{unknown[0]}'",
                why=f"there are {', '.join(QUANTITIES)}",
                fix=f"did you mean {near}?" if near else "--measures sign,logabsdet",
                code="unknown-measure",
            )
        if self.dtype not in ("float64", "float32"):
            raise ConfigurationError(f"dtype '{self.dtype}' is not float64 or float32", fix="--dtype float64")
        if not 0 <= self.seed < 2**63:
            raise ConfigurationError(f"a seed of {self.seed} is not from 0 to 2⁶³ − 1", fix="--seed 0")
        if self.workers is not None and self.workers < 1:
            raise ConfigurationError(f"{self.workers} workers cannot measure anything", fix="--workers 1")
        if self.threads_per_worker < 1:
            raise ConfigurationError(
                f"{self.threads_per_worker} threads compute nothing", fix="--threads-per-worker 1"
            )
        if self.max_bytes is not None and not (self.max_bytes > 0 and math.isfinite(self.max_bytes)):
            raise ConfigurationError(
                f"{self.max_bytes} bytes are no limit of memory",
                why="a limit is a finite number above zero",
                fix="--max-memory 8 for 8 GiB, or leave it out",
            )

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities to measure, in the order in which they are stored."""
        wanted = self.measures or quantities_of(self.budget)
        return tuple(q for q in QUANTITIES if q in wanted)

    @property
    def proves(self) -> bool:
        """Whether witnesses and certificates are looked for; not in float32, nor where a few measures are named."""
        wanted = bool(DETAILED & set(self.measures)) if self.measures else self.budget is not Budget.QUICK
        return wanted and self.dtype == "float64"

    @property
    def refines(self) -> bool:
        """Whether the refinement test is made."""
        return not self.measures and self.budget is not Budget.QUICK

    @property
    def memory(self) -> float:
        """Bytes that the factors may take."""
        if self.max_bytes is not None:
            return self.max_bytes
        return 0.75 * (device_memory(compute_device(self.device)) or physical_memory())

    @property
    def threads(self) -> int:
        """Workers: measurements at the same time."""
        if self.workers is not None:
            return self.workers
        # not every system says which cores a process may use
        usable = getattr(os, "sched_getaffinity", None)
        cores = len(usable(0)) if usable is not None else os.cpu_count() or 1
        return max(1, cores // self.threads_per_worker)


@dataclass(frozen=True, eq=False)
class UnitPlan:
    """What happens to one unit.

    Attributes:
        unit: the unit, in the dtype of the analysis.
        jacobian: prepared for exact measures; None where there are none.
        accelerated: the same on the GPU that was asked for; None on the CPU.
        not_applicable: why the unit has no Jacobian determinant, else None.
        not_run: why it is left out, else None.
        estimated: why no exact method takes it, so that what products tell is estimated; else None.
        about: method, cut, sizes and costs, for people and for `result.json`.
    """

    unit: ResidualUnit
    jacobian: UnitJacobian | None
    not_applicable: str | None = None
    not_run: str | None = None
    estimated: str | None = None
    about: dict[str, Any] = field(default_factory=dict)
    accelerated: UnitJacobian | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Every unit of a network with what happens to it, and the settings."""

    units: tuple[UnitPlan, ...]
    settings: Settings


def make_plan(discovery: Discovery, settings: Settings) -> Plan:
    """Plan an analysis.

    Args:
        discovery: a network's units, already in the dtype of the settings.
        settings: what is asked for.

    Raises:
        NoUnitError: the network has no residual unit.
        ConfigurationError: the patterns match no unit, or the device is not there.
    """
    compute_device(settings.device)
    if not discovery.units:
        raise NoUnitError(
            "no residual unit was found in this network",
            why=discovery.explain_none(),
            fix="a residual unit is an addition of an input to a branch computed from that same input",
        )
    names = [unit.name for unit in discovery.units]
    for pattern in settings.units:
        if not any(_matches(name, [pattern]) for name in names):
            near = nearest(re.sub(r"[*?\[\]]", "", pattern), names) or names[0]
            raise ConfigurationError(
                f"--units '{pattern}' matches none of the {len(names)} units",
                why=f"they are called {', '.join(names[:20])}" + (", …" if len(names) > 20 else ""),
                fix=f"--units '{near}'",
                code="units-pattern",
            )
    chosen = [unit for unit in discovery.units if _matches(unit.name, settings.units)]
    return Plan(tuple(_plan_unit(unit, unit in chosen, settings) for unit in discovery.units), settings)


def prepared(plan: Plan) -> Plan:
    """Build whatever a unit needs that does not depend on an input; where that fails, what can be is estimated.

    Returns:
        The plan of what is going to be run.
    """
    units = []
    for unit_plan in plan.units:
        if unit_plan.jacobian is not None:
            try:
                unit_plan.jacobian.prepare()
                device = compute_device(plan.settings.device)
                if device.type != "cpu":
                    accelerated = UnitJacobian(unit_plan.unit, device)
                    accelerated.prepare()
                    unit_plan = replace(unit_plan, accelerated=accelerated)  # noqa: PLW2901
            except Exception as error:  # whatever is wrong with one unit, the others go on
                # what needs no factors is still measured
                about = {"method": ESTIMATE, "cut": None, "why_estimated": _reason(error)}
                unit_plan = replace(  # noqa: PLW2901
                    unit_plan, jacobian=None, estimated=_reason(error), about=about
                )
        units.append(unit_plan)
    return replace(plan, units=tuple(units))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _plan_unit(unit: ResidualUnit, chosen: bool, settings: Settings) -> UnitPlan:
    if not unit.preserves_dimension:
        reason = _changes_dimension(unit)
        return UnitPlan(unit, None, not_applicable=reason, about={"method": "none", "cut": None})
    if not chosen:
        return UnitPlan(unit, None, not_run=LEFT_OUT, about={"method": "none", "cut": None})
    try:
        jacobian = UnitJacobian(unit)
        return UnitPlan(unit, jacobian, about=_about(jacobian, settings))
    except UnsupportedUnitError as error:
        # no exact method: what can be estimated is, and the sign stays unknown
        about = {"method": ESTIMATE, "cut": None, "why_estimated": error.what}
        return UnitPlan(unit, None, estimated=error.what, about=about)
    except Exception as error:  # whatever is wrong with one unit, the others go on
        return UnitPlan(unit, None, not_run=_reason(error), about={"method": "none", "cut": None})


def _reason(error: Exception) -> str:
    if isinstance(error, UnsupportedUnitError):
        return error.what
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _changes_dimension(unit: ResidualUnit) -> str:
    shapes = [" × ".join(map(str, shape)) for shape in (unit.input_shape, unit.output_shape)]
    if unit.input_shape == unit.output_shape:
        return f"The shortcut is a {unit.shortcut}, not the identity: this is no step x + F(x) of a flow."
    return f"The unit maps {shapes[0]} to {shapes[1]}: it changes the dimension and cannot be a bijection."


def _about(jacobian: UnitJacobian, settings: Settings) -> dict[str, Any]:
    """Describe the elimination when half of the coordinates at the cheapest cut are active."""
    if jacobian.not_read is not None:
        return {"method": "dense Jacobian", "cut": None, "why_dense": jacobian.not_read}
    estimates = [jacobian.estimate(cut, active=0.5 if cut else 1.0) for cut in jacobian.cuts]
    best = min(estimates, key=lambda estimate: estimate.flops)
    about = {
        "method": "block elimination of the reduced matrix",
        "cut": best.cut_name,
        "image_rows": best.image_rows,
        "expected_order": best.order,
        "expected_gigaflops": round(best.flops / 1e9, 3),
        "expected_mebibytes": round(best.factor_bytes / 2**20, 1),
        # for the sign and log|det| alone; singular values are solved for with kept factors
        "expected_mebibytes_of_determinant": round(best.check_bytes / 2**20, 1),
    }
    allowed = settings.memory
    if best.check_bytes > allowed:
        about["if_it_does_not_fit"] = (
            f"{allowed / 2**20:.1f} MiB are allowed: where the active coordinates of an input need more, log|det J| is "
            f"an {ESTIMATE}, without a sign"
        )
    return about
