"""Clusters of this machine for tests: on the loopback, silent, without a dashboard that other runs would want too."""

from typing import Any


def local_cluster(workers: int = 1, **options: Any) -> Any:
    """Return a cluster of Dask, a context manager.

    Args:
        workers: of one thread each, unless the options say otherwise.
        options: of `distributed.LocalCluster`.
    """
    import distributed

    quiet = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "silence_logs": 50}
    return distributed.LocalCluster(n_workers=workers, **{"threads_per_worker": 1, **quiet, **options})
