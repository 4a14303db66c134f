"""Clusters are an extra: what to install where one is asked for without it."""

from __future__ import annotations

import importlib.util

from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["require_cluster_extra"]


def require_cluster_extra() -> None:
    """Make sure that `executors.cluster` and `executors.slurm` can be imported.

    Raises:
        ConfigurationError: a package that they need is not installed.
    """
    for package in ("distributed", "dask_jobqueue"):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(
                f"a cluster needs the package {package}, which is not installed",
                fix="pip install 'resnet-diffeo-probe[cluster]'",
            )
