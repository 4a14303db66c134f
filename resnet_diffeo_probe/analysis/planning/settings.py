"""How an analysis is made: what a user may set, and what follows from it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from resnet_diffeo_probe.analysis.planning.quantities import DETAILED, QUANTITIES, Budget, quantities_of
from resnet_diffeo_probe.analysis.result.memory import physical_memory
from resnet_diffeo_probe.attribution.baseline import Baseline
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.jacobian.linearized.device import compute_device, device_memory
from resnet_diffeo_probe.nearest import nearest

__all__ = ["Settings"]


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
