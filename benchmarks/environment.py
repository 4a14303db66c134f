"""What a measurement was made with, and the yardstick of this machine: one 4096³ float64 matrix product."""

from __future__ import annotations

import os
import platform
import statistics
import time
from typing import Any

import numpy as np
import scipy
import torch
import torchvision

__all__ = ["environment", "gemm_seconds", "gemm_times"]


def environment() -> dict[str, Any]:
    """Return versions, cores, threads and the load at this moment."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }


def gemm_seconds(repeats: int = 3) -> float:
    """Return the median wall time of one 4096³ float64 matrix product on torch's threads."""
    return statistics.median(wall for wall, _ in gemm_times(repeats))


def gemm_times(repeats: int) -> list[tuple[float, float]]:
    """Return wall time and processor time of all threads of a few 4096³ float64 matrix products."""
    a = torch.randn(4096, 4096, dtype=torch.float64)
    times = []
    for _ in range(repeats):
        started, busy = time.perf_counter(), time.process_time()
        torch.mm(a, a)
        times.append((time.perf_counter() - started, time.process_time() - busy))
    return times
