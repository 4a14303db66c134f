"""Workers as Slurm jobs: what one job asks for, and the cluster that the jobs make."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask_jobqueue.slurm import SLURMCluster

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["SlurmJobs", "slurm_cluster"]

# A partition or account ends in a line of the job script: nothing that could begin another.
_NAME = re.compile(r"[A-Za-z0-9][\w.,:+-]*")
# What Dask sets for its workers makes glibc map larger blocks anew (`cluster_worker.allocates_anew`): it is left out.
_PROLOGUE = "export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON=\"{'MALLOC_TRIM_THRESHOLD_': None}\""
_WALLTIME = re.compile(r"(\d+-)?\d{1,3}(:\d{2}){2}")


@dataclass(frozen=True)
class SlurmJobs:
    """What is asked of Slurm.

    Attributes:
        jobs: how many.
        cores: of each job.
        threads_per_worker: of linear algebra; so many cores are one worker process, which measures one thing at a time.
        memory: of each job, in GiB, shared by its workers.
        walltime: of each job, `[days-]hours:minutes:seconds`; work that a job leaves is done by others.
        queue: the partition; None for the default one.
        account: whom it is charged to; None for the default.
        folder: on a disk that every node sees: certificates of the run and the jobs' logs.

    Raises:
        ConfigurationError: one of them makes no sense.
    """

    jobs: int = 1
    cores: int = 1
    threads_per_worker: int = 1
    memory: float = 4.0
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    folder: Path = Path.home() / ".cache" / "diffeo-probe"

    def __post_init__(self) -> None:
        if self.jobs < 1 or self.cores < 1 or not 0 < self.memory < 1e6:
            raise ConfigurationError(
                f"{self.jobs} jobs of {self.cores} cores and {self.memory:g} GiB are none", fix="--slurm 4"
            )
        if not 1 <= self.threads_per_worker <= self.cores:
            raise ConfigurationError(
                f"a worker of {self.threads_per_worker} threads does not fit into jobs of {self.cores} cores",
                fix=f"--slurm-cores {max(1, self.threads_per_worker)}",
            )
        if not _WALLTIME.fullmatch(self.walltime):
            raise ConfigurationError(f"'{self.walltime}' is no walltime", fix="--slurm-walltime 04:00:00")
        for what, name in (("partition", self.queue), ("account", self.account)):
            if name is not None and not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a Slurm {what}")


class _Cluster(SLURMCluster):
    """A cluster whose certificates are gone when it is closed."""

    def __init__(self, folder: Path, **asked: Any) -> None:
        self._certificates = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        try:
            super().__init__(shared_temp_directory=str(self._certificates), **asked)
        except BaseException:
            shutil.rmtree(self._certificates, ignore_errors=True)
            raise

    def close(self, timeout: float | None = None) -> Any:
        """End the jobs and the scheduler."""
        try:
            return super().close(timeout)
        finally:
            shutil.rmtree(self._certificates, ignore_errors=True)


def slurm_cluster(asked: SlurmJobs, *, submits: bool = True) -> SLURMCluster:
    """Start a scheduler in this process and ask Slurm for workers, which talk to it by TLS.

    Certificates are made for the run and die with it. What else a site needs (interface, prologue of a job, further
    directives) is read from Dask's own configuration, `jobqueue.slurm`.

    Args:
        asked: of Slurm.
        submits: whether jobs are submitted; else only the script can be looked at, by `job_script()`.

    Returns:
        A cluster for `OnDask`, which closes it, and its jobs with it.

    Raises:
        ConfigurationError: there is no Slurm here, or its configuration makes no sense.
    """
    if submits and shutil.which("sbatch") is None:
        raise ConfigurationError(
            "there is no sbatch on this machine",
            why="jobs are submitted from where diffeo-probe runs",
            fix="run it on a login node of the Slurm cluster, or start workers by hand and use --scheduler",
        )
    folder = asked.folder

    def configured(key: str) -> list[str]:
        return list(dask.config.get(f"jobqueue.slurm.{key}", None) or [])

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # three workers that die over one task make it a row
        with dask.config.set({"distributed.scheduler.allowed-failures": 2}):
            made = _Cluster(
                folder,
                queue=asked.queue,
                account=asked.account,
                cores=asked.cores,
                processes=asked.cores // asked.threads_per_worker,
                # the last one counts: dask-jobqueue gives a worker as many tasks at a time as it has cores
                worker_extra_args=["--nthreads", "1", *configured("worker-extra-args")],
                job_script_prologue=[_PROLOGUE, *configured("job-script-prologue")],
                memory=f"{asked.memory}GiB",
                walltime=asked.walltime,
                security=True,
                protocol="tls://",
                log_directory=str(folder / "logs"),
                scheduler_options={"dashboard_address": "127.0.0.1:0", "dashboard": False},
            )
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ConfigurationError(
            "no cluster of Slurm jobs can be made",
            why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
        ) from None
    if submits:
        made.scale(jobs=asked.jobs)
    return made
