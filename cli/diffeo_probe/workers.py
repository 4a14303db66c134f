"""Who measures: threads, or processes where these pay for being started or a measurement may have to be ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.plan import Plan
    from resnet_diffeo_probe.analysis.tasks import Executor
    from resnet_diffeo_probe.inputs import Inputs
    from resnet_diffeo_probe.models import LoadedModel
    from resnet_diffeo_probe.units import Discovery

__all__ = ["executor_for"]

# A process takes some seconds and some hundred megabytes to start: less work than this is done before it has begun.
_GIGAFLOPS_WORTH_PROCESSES = 2000.0


def executor_for(
    loaded: LoadedModel,
    batch: Inputs,
    *,
    arch: str | None,
    trust_pickle: bool,
    workers: int | None,
    unit_timeout: float | None,
    tell: Callable[[str], None],
) -> Callable[[Discovery, Plan], Executor]:
    """Return what makes the workers once the plan is known.

    Args:
        loaded: the model file.
        batch: the inputs.
        arch: as it was given when the file was loaded.
        trust_pickle: likewise.
        workers: as asked for; None: threads, one a core.
        unit_timeout: seconds after which a measurement is ended; None: never.
        tell: told how it is measured where this is not by threads.
    """

    def make(discovery: Discovery, plan: Plan) -> Executor:
        from resnet_diffeo_probe.analysis.executors import InProcesses, InThreads
        from resnet_diffeo_probe.analysis.specification import ModelFile, Specification

        count = plan.settings.threads
        work = _gigaflops(plan) * len(batch)
        large = workers is not None and count > 1 and work > _GIGAFLOPS_WORTH_PROCESSES
        if unit_timeout is None and not large:
            return InThreads(discovery, plan)
        why = (
            "a measurement that takes too long can be ended"
            if unit_timeout is not None
            else "a worker dies alone"
        )
        tell(f"measuring in {count} process{'' if count == 1 else 'es'}: {why}")
        model = ModelFile.of(loaded, arch=arch, trust_pickle=trust_pickle)
        return InProcesses(Specification.of(model, batch.part(0, 1), plan), plan, unit_timeout=unit_timeout)

    return make


def _gigaflops(plan: Plan) -> float:
    """Return what the determinants at one input are expected to take; a unit without an estimate counts nothing."""
    return sum(float(unit_plan.about.get("expected_gigaflops", 0.0)) for unit_plan in plan.units)
