"""Who measures: threads of this process, processes where they pay or must be ended, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resnet_diffeo_probe.errors import ConfigurationError

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.measuring.specification import Specification
    from resnet_diffeo_probe.analysis.measuring.tasks import Executor
    from resnet_diffeo_probe.analysis.planning.plan import Plan
    from resnet_diffeo_probe.inputs import Inputs
    from resnet_diffeo_probe.models import LoadedModel
    from resnet_diffeo_probe.units import Discovery

__all__ = ["Workforce", "executor_for", "workforce_options"]

# Processes measure as fast as threads (reports/scale.md), and one that dies takes nothing else with it: whoever names a
# number of workers gets them, unless the work is less than is done in the seconds that they take to start. Without a
# number it stays with threads: a process on each of many cores would hold the model and some hundred megabytes each.
_GIGAFLOPS_WORTH_PROCESSES = 2000.0

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Workforce:
    """The options that say who measures, as they were given.

    Attributes:
        workers: measurements at the same time on this machine; None: as many as there are cores for.
        threads_per_worker: of the linear algebra of each; None: one.
        unit_timeout: seconds after which a measurement is ended; None: never.
        scheduler: address of a Dask scheduler.
        slurm: number of Slurm jobs.
        slurm_cores: of each job.
        slurm_memory: of each job, GiB.
        slurm_walltime: of each job.
        slurm_queue: the partition.
        slurm_account: whom it is charged to.

    Raises:
        ConfigurationError: they contradict each other.
    """

    workers: int | None = None
    threads_per_worker: int | None = None
    unit_timeout: float | None = None
    scheduler: str | None = None
    slurm: int | None = None
    slurm_cores: int | None = None
    slurm_memory: float | None = None
    slurm_walltime: str | None = None
    slurm_queue: str | None = None
    slurm_account: str | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.slurm is not None:
            raise ConfigurationError(
                "--scheduler and --slurm are given together",
                why="one names a cluster that is there, the other makes one",
                fix="leave one of the two out",
            )
        on_cluster = "--scheduler" if self.scheduler is not None else "--slurm" if self.slurm else None
        if on_cluster is not None and self.unit_timeout is not None:
            raise ConfigurationError(
                f"--unit-timeout and {on_cluster} are given together",
                why="a worker of a cluster cannot be made to end one measurement",
                fix="leave one of the two out",
            )
        if self.slurm is None and (lost := [name for name in self.given() if name.startswith("slurm_")]):
            raise ConfigurationError(
                f"--{lost[0].replace('_', '-')} has no effect without --slurm", fix="--slurm 4 for four jobs"
            )

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> Workforce:
        """Return the workforce of a command's options, which are taken out of them."""
        return cls(**{each.name: options.pop(each.name) for each in fields(cls)})

    def given(self) -> dict[str, Any]:
        """Return the options that are set."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


def workforce_options(command: Command) -> Command:
    """Add the options of a `Workforce`."""
    positive = click.FloatRange(min=0, min_open=True)
    count = click.IntRange(min=1)
    for option in reversed(
        (
            click.option("--workers", type=count, help="Measurements at the same time; default: one a core."),
            click.option(
                "--threads-per-worker",
                type=count,
                help="Of the linear algebra of one measurement; default 1. More pay for few, very large units, and "
                "change last bits.",
            ),
            click.option(
                "--unit-timeout",
                type=positive,
                metavar="SECONDS",
                help="End the measurement of a unit at an input after this time; the others go on.",
            ),
            click.option(
                "--scheduler", metavar="ADDRESS", help="Measure on a Dask cluster: tcp://host:8786 or tls://…"
            ),
            click.option("--slurm", type=count, metavar="JOBS", help="Measure in so many Slurm jobs."),
            click.option("--slurm-cores", type=count, help="Of each job; default 1."),
            click.option("--slurm-memory", type=positive, metavar="GIB", help="Of each job; default 4."),
            click.option("--slurm-walltime", metavar="H:MM:SS", help="Of each job; default an hour."),
            click.option("--slurm-queue", metavar="PARTITION", help="Default: Slurm's."),
            click.option("--slurm-account", metavar="NAME", help="Default: Slurm's."),
        )
    ):
        command = option(command)
    return command


def executor_for(
    asked: Workforce,
    loaded: LoadedModel,
    batch: Inputs,
    *,
    arch: str | None,
    trust_pickle: bool,
    tell: Callable[[str], None],
) -> Callable[[Discovery, Plan], Executor]:
    """Return what makes the workers once the plan is known.

    Args:
        asked: the options.
        loaded: the model file.
        batch: the inputs.
        arch: as it was given when the file was loaded.
        trust_pickle: likewise.
        tell: told how it is measured where this is not by threads.
    """

    def specification(plan: Plan, *, travels: bool) -> Specification:
        from resnet_diffeo_probe.analysis.measuring.specification import ModelFile, Specification

        model = ModelFile.of(loaded, arch=arch, trust_pickle=trust_pickle, travels=travels)
        return Specification.of(model, batch.part(0, 1), plan)

    def make(discovery: Discovery, plan: Plan) -> Executor:
        if asked.scheduler is not None or asked.slurm is not None:
            tell(
                f"measuring on {asked.scheduler or f'{asked.slurm} Slurm jobs'}; the model is sent to every worker"
            )
            return _on_cluster(asked, specification(plan, travels=True), plan, tell)
        from resnet_diffeo_probe.analysis.measuring.executors import (
            InProcesses,
            in_this_process,
            is_on_device,
        )

        count = plan.settings.threads
        large = (
            asked.workers is not None
            and count > 1
            # a GPU is shared better by batches than by processes
            and not is_on_device(plan)
            and _gigaflops(plan) * len(batch) > _GIGAFLOPS_WORTH_PROCESSES
        )
        if asked.unit_timeout is None and not large:
            return in_this_process(discovery, plan)
        why = (
            "a measurement that takes too long can be ended" if asked.unit_timeout else "a worker dies alone"
        )
        tell(f"measuring in {count} process{'' if count == 1 else 'es'}: {why}")
        return InProcesses(specification(plan, travels=False), plan, unit_timeout=asked.unit_timeout)

    return make


def _on_cluster(
    asked: Workforce, specification: Specification, plan: Plan, tell: Callable[[str], None]
) -> Executor:
    from resnet_diffeo_probe.analysis.measuring.executors.extra import require_cluster_extra

    require_cluster_extra()
    from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask
    from resnet_diffeo_probe.analysis.measuring.executors.slurm import SlurmJobs, slurm_cluster

    if asked.scheduler is not None:
        return OnDask(asked.scheduler, specification, plan, tell=tell)
    names = {"slurm": "jobs"}
    words = {
        names.get(name, name.removeprefix("slurm_")): value
        for name, value in asked.given().items()
        if name.startswith("slurm") or name == "threads_per_worker"
    }
    # jobs may wait in the queue for as long as they like
    return OnDask(slurm_cluster(SlurmJobs(**words)), specification, plan, patience=None)


def _gigaflops(plan: Plan) -> float:
    """Return what the determinants at one input are expected to take; a unit without an estimate counts nothing."""
    return sum(float(unit_plan.about.get("expected_gigaflops", 0.0)) for unit_plan in plan.units)
