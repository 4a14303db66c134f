"""Time and memory of one exact determinant against n, with dense, SuperLU and Lanczos quadrature beside it.

    python benchmarks/scaling.py                    # measures, then writes reports/scaling.json and reports/scaling.svg
    python benchmarks/scaling.py --figure-only      # draws the figure again from reports/scaling.json

One unit of 64 channels, `layer1.0` of a ResNet-18, at growing image sizes, n from 1,024 to 200,704; and the bottleneck
`layer1.1` of a ResNet-50 at 224×224, n = 802,816. Weights are random, batch norms hold the statistics of a batch
(`networks.py`). Every point is a process of its own: its peak memory is that of the whole process, libraries included,
and its yardstick is the 4096³ float64 matrix product timed in it, before and after. Processor time over processor time,
preparation included, is given too: other load on the machine disturbs it less. A point that takes longer than `--limit`
seconds is stopped, and no larger one of that method is tried; with `--resume` points that are there stay.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
import torchvision
from environment import environment, gemm_times
from networks import unit_inputs
from scipy.sparse.linalg import splu
from torch import Tensor

from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem, elimination_flops, starts_of
from resnet_diffeo_probe.jacobian.estimators import half_logdet_by_lanczos, linearized_map
from resnet_diffeo_probe.jacobian.linearized.dense import dense_logdet
from resnet_diffeo_probe.units import ResidualUnit

REPORTS = Path(__file__).resolve().parent.parent / "reports"
SIZES = (16, 32, 64, 96, 128, 224)
LARGEST = ("resnet50", "layer1.1", 224)
# The dense Jacobian of more coordinates takes hours, the basis of Lanczos vectors of more takes all memory.
LARGEST_N = {"elimination": math.inf, "dense": 5_000, "superlu": 40_000, "quadrature": 70_000}
# Below this the first call of a process, which loads libraries, would be most of the time.
WARMED_UP = 20_000
GEMM_FLOPS = 2 * 4096**3


def elimination(unit: ResidualUnit, x: Tensor) -> dict[str, Any]:
    """Sign and log|det| with the check of the sign, as `diffeo-probe analyze --measures sign,logabsdet`."""
    jacobian = UnitJacobian(unit)
    started = time.perf_counter()
    jacobian.prepare()
    prepared = time.perf_counter() - started
    if x.numel() < WARMED_UP:
        determinant(jacobian.at(x), keep=False)
    started = time.perf_counter()
    lin = jacobian.at(x)
    found = determinant(lin, keep=False)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "once_per_unit_seconds": prepared,
        "order": lin.reduced.order,
        "flops_over_gemm": elimination_flops(lin.reduced.system()) / GEMM_FLOPS,
        "sign": found.sign.value,
        "sign_status": found.sign.status.value,
        "margin": found.margin.value,
        "logabsdet": found.logabsdet.value,
    }


def dense(unit: ResidualUnit, x: Tensor) -> dict[str, Any]:
    """The whole Jacobian by automatic differentiation and an LU of it."""
    started = time.perf_counter()
    sign, logabsdet = dense_logdet(unit.sum_map, x)
    return {"seconds": time.perf_counter() - started, "sign": sign, "logabsdet": logabsdet}


def superlu(unit: ResidualUnit, x: Tensor) -> dict[str, Any]:
    """Scipy's sparse LU of the same reduced matrix, which is assembled before the clock starts."""
    matrix = sparse_matrix(UnitJacobian(unit).at(x).reduced.system())
    started = time.perf_counter()
    pivots = splu(matrix).U.diagonal()
    return {"seconds": time.perf_counter() - started, "logabsdet": float(np.log(np.abs(pivots)).sum())}


def quadrature(unit: ResidualUnit, x: Tensor) -> dict[str, Any]:
    """Stochastic Lanczos quadrature of ½ tr log JᵀJ with its interval; it gives no sign."""
    lin = UnitJacobian(unit).at(x)
    started = time.perf_counter()
    found = half_logdet_by_lanczos(linearized_map(lin), probes=8, max_steps=48)
    return {
        "seconds": time.perf_counter() - started,
        "logabsdet": found.value,
        "interval": found.interval,
        "status": found.status.value,
    }


METHODS: dict[str, Callable[[ResidualUnit, Tensor], dict[str, Any]]] = {
    "elimination": elimination,
    "dense": dense,
    "superlu": superlu,
    "quadrature": quadrature,
}


def sparse_matrix(system: BlockSystem) -> scipy.sparse.csc_matrix:
    """Return a block system as a scipy matrix, block by block."""
    starts = starts_of(system.sizes)
    rows, cols, values = [], [], []
    for i, neighbours in enumerate(system.coupled):
        for a, b in ((i, i), *((i, j) for j in neighbours), *((j, i) for j in neighbours)):
            block = torch.zeros(system.sizes[a], system.sizes[b], dtype=system.dtype)
            system.add_block(block, a, b)
            at = block.nonzero()
            rows.append((at[:, 0] + starts[a]).int().numpy())
            cols.append((at[:, 1] + starts[b]).int().numpy())
            values.append(block[at[:, 0], at[:, 1]].numpy())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
    return scipy.sparse.csc_matrix(entries, shape=(system.order, system.order))


def point(method: str, network: str, unit_name: str, size: int) -> dict[str, Any]:
    """Measure one method on one unit, in this process."""
    _, units = unit_inputs(lambda: getattr(torchvision.models, network)(weights=None), size)
    unit, x = next((unit, x) for unit, x in units if unit.name == unit_name)
    del units
    gemms = gemm_times(2)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    busy = time.process_time()
    found = METHODS[method](unit, x)
    busy = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    gemm, gemm_busy = (statistics.median(column) for column in zip(*gemms, *gemm_times(1), strict=True))
    return {
        "method": method,
        "unit": f"{network} {unit_name}",
        "size": size,
        "n": x.numel(),
        **found,
        "seconds_over_gemm": found["seconds"] / gemm,
        "gemm_seconds": gemm,
        "threads": torch.get_num_threads(),
        "processor_seconds_over_gemm": busy / gemm_busy,
        "peak_gib_of_process": peak,
        "peak_gib_before": peak_before,
        "load_average": environment()["load_average"],
    }


def measure(limit: float, out: Path, *, resume: bool, largest: float) -> dict[str, Any]:
    """Measure every point in a process of its own; what is there so far is written after each."""
    result: dict[str, Any] = {"environment": environment(), "limit_seconds": limit, "points": []}
    if resume and out.exists():
        result = json.loads(out.read_text(encoding="utf-8"))
    there = {(point["method"], point["n"]) for point in result["points"] if "seconds" in point}
    places = [("resnet18", "layer1.0", size) for size in SIZES] + [LARGEST]
    for method in METHODS:
        for network, unit, size in places:
            n = (64 if network == "resnet18" else 256) * (size // 4) ** 2
            if n > min(LARGEST_N[method], largest):
                break
            if (method, n) in there:
                continue
            arguments = ["--point", method, network, unit, str(size)]
            try:
                run = subprocess.run(
                    [sys.executable, __file__, *arguments],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=limit,
                )
            except subprocess.TimeoutExpired:
                result["points"].append({"method": method, "n": n, "stopped_after_seconds": limit})
                break
            result["points"].append(json.loads(run.stdout))
            print(f"{method:12} n = {n:7,}: {result['points'][-1]['seconds_over_gemm']:.3f} GEMM", flush=True)
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


LABELS = {
    "elimination": ("exact, block elimination", "C0", "o"),
    "dense": ("exact, dense Jacobian", "C3", "s"),
    "superlu": ("exact, SuperLU of the same reduced matrix", "C1", "^"),
    "quadrature": ("estimate without a sign, Lanczos quadrature", "C2", "D"),
}


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw time and memory against n, both axes logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415 - a measured process does without it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scaling"
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for method, (label, color, marker) in LABELS.items():
        measured = [p for p in result["points"] if p["method"] == method and "seconds" in p]
        points = [
            p for p in measured if p["unit"] != " ".join(LARGEST[:2])
        ]  # another network is no point of the line
        for axes, key in ((time_axes, "seconds_over_gemm"), (memory_axes, "peak_gib_of_process")):
            axes.plot(
                [p["n"] for p in points],
                [p[key] for p in points],
                color=color,
                marker=marker,
                ms=4,
                label=label,
            )
    unit = " ".join(LARGEST[:2])
    last = next((p for p in result["points"] if p["unit"] == unit and "seconds" in p), None)
    if last is not None:
        for axes, key in ((time_axes, "seconds_over_gemm"), (memory_axes, "peak_gib_of_process")):
            axes.plot(last["n"], last[key], color=LABELS["elimination"][1], marker="*", ms=9)
            axes.annotate(
                "ResNet-50 bottleneck",
                (last["n"], last[key]),
                (4, -14),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
    time_axes.set(ylabel="time, in 4096³ float64 matrix products", title="One determinant")
    memory_axes.set(ylabel="peak memory of the process, GiB", title="Memory")
    memory_axes.axhline(8, color="0.6", lw=0.8, ls="--")
    for axes in (time_axes, memory_axes):
        axes.set(xscale="log", yscale="log", xlabel="n, coordinates of the unit")
        axes.grid(alpha=0.3, which="both", lw=0.4)
    time_axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None, "Title": "Time and memory of one determinant against n"})


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figure-only", action="store_true")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one point")
    parser.add_argument("--largest", type=float, default=math.inf, help="no unit of more coordinates")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--point", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point is not None:
        method, network, unit, size = options.point
        print(json.dumps(point(method, network, unit, int(size))))
        return
    data = REPORTS / "scaling.json"
    result = (
        json.loads(data.read_text(encoding="utf-8"))
        if options.figure_only
        else measure(options.limit, data, resume=options.resume, largest=options.largest)
    )
    draw(result, REPORTS / "scaling.svg")


if __name__ == "__main__":
    main()
