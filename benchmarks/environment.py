"""What a measurement was made with, how it is timed and kept, and the yardstick: one 4096³ float64 matrix product."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
import torchvision

__all__ = ["environment", "gemm_seconds", "gemm_times", "least_seconds", "publish", "write_result"]


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


def least_seconds(
    run: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the smallest time of a few runs, by the wall unless another clock is given."""
    times = []
    for _ in range(repeats):
        started = clock()
        run()
        times.append(clock() - started)
    return min(times)


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Print a result with its rows counted only, and write all of it where a file is named."""
    shown = {key: len(value) if key == "rows" else value for key, value in result.items()}
    print(json.dumps(shown, indent=1))
    write_result(result, out)


def write_result(result: dict[str, Any], out: Path | None) -> None:
    """Write a result as JSON where a file is named."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
