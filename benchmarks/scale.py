"""Throughput against workers: threads, processes and Dask workers of this machine, beside one thread, in one run.

    python benchmarks/scale.py --weights resnet20.th --images cifar10/      # writes reports/scale.json

Without weights: the network that ships with the package, on its own images. What is measured are sign and log|det| of
every identity unit at every input, by the tasks that `diffeo-probe analyze` makes of them. All executors are started
and warmed up first, and no image is met twice by the same one; then they take turns, round by round, so that whatever
else the machine does meets all of them. The figures that count are the ratios to one thread within a round; the
processor time of a round, over all processes of the executor, says what a pair costs where the clock cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import distributed
import psutil
import torch
from environment import environment, gemm_seconds

from resnet_diffeo_probe.analysis.executors import InProcesses, InThreads
from resnet_diffeo_probe.analysis.executors.cluster import OnDask
from resnet_diffeo_probe.analysis.plan import Plan, Settings, make_plan, prepared
from resnet_diffeo_probe.analysis.quantities import Budget
from resnet_diffeo_probe.analysis.specification import ModelFile, Specification
from resnet_diffeo_probe.analysis.tasks import Executor, Task
from resnet_diffeo_probe.demo import demo_paths
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

REPORT = Path(__file__).resolve().parent.parent / "reports" / "scale.json"


def tasks(plan: Plan, batch: torch.Tensor, first: int, count: int) -> Iterator[Task]:
    """Yield every measurable unit at `count` inputs from `first` on, input by input."""
    for index in range(first, first + count):
        x = batch[index : index + 1]
        for unit_plan in plan.units:
            if unit_plan.jacobian is not None:
                yield Task(unit_plan.unit.name, f"input[{index}]", x)


def processor_seconds() -> float:
    """Return the time that this process and all below it have spent in processors."""
    total = 0.0
    process = psutil.Process()
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def executors(
    stack: ExitStack, discovery: Any, plan: Plan, specification: Specification
) -> dict[str, Executor]:
    """Start what is compared."""
    cluster = stack.enter_context(
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=50,
        )
    )
    processes = stack.enter_context(InProcesses(specification, plan, workers=2))
    dask = stack.enter_context(OnDask(cluster.scheduler_address, specification, plan))
    one, two = (stack.enter_context(InThreads(discovery, plan, workers=count)) for count in (1, 2))
    return {
        "1 thread": one,
        "2 threads": two,
        "2 processes": processes,
        "2 Dask processes": dask,
    }


def measured(executor: Executor, work: list[Task]) -> dict[str, float]:
    """Return wall and processor seconds of a piece of work, and how often a pair failed."""
    busy, started = processor_seconds(), time.perf_counter()
    outcomes = list(executor.run(work))
    wall = time.perf_counter() - started
    without = sum(outcome.findings["sign"].value is None for outcome in outcomes)
    return {
        "pairs": len(outcomes),
        "wall_seconds": wall,
        "processor_seconds": processor_seconds() - busy,
        "without_sign": without,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 8], help="inputs of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPORT)
    asked = parser.parse_args()
    needed = 2 + sum(asked.counts) * asked.rounds
    demo = demo_paths()
    preprocessing = Preprocessing(mean=demo.mean, std=demo.std, size=demo.size)
    if asked.images:  # the statistics that the shared CIFAR weights were trained with
        preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    loaded = load(asked.weights or demo.model)
    batch = read_inputs(
        asked.images or demo.inputs, count=needed, preprocessing=preprocessing, shape=loaded.input_shape
    )
    x = batch.tensor
    discovery = discover(loaded.module, x[:1]).to(dtype=torch.float64)
    settings = Settings(budget=Budget.QUICK, measures=("sign", "logabsdet"), workers=2)
    plan = prepared(make_plan(discovery, settings))
    specification = Specification.of(ModelFile.of(loaded, travels=True), x[:1], plan)
    result: dict[str, Any] = {
        "model": loaded.architecture,
        "units": {p.unit.name: p.unit.dimension for p in plan.units if p.jacobian is not None},
        "environment": environment(),
        "rounds": [],
    }
    x = x.double()
    torch.set_num_threads(1)
    result["gemm_seconds_one_thread"] = [gemm_seconds(1)]
    with ExitStack() as stack:
        compared = executors(stack, discovery, plan, specification)
        for executor in compared.values():
            list(executor.run(tasks(plan, x, 0, 2)))
        first = 2
        for count in asked.counts:
            for _ in range(asked.rounds):
                work = list(tasks(plan, x, first, count))
                first += count
                taken = {name: measured(executor, work) for name, executor in compared.items()}
                result["rounds"].append({"inputs": count, "executors": taken})
                print(count, {name: round(t["wall_seconds"], 2) for name, t in taken.items()}, flush=True)
    result["gemm_seconds_one_thread"].append(gemm_seconds(1))
    result["against_one_thread"] = {
        str(count): {
            name: {
                "throughput": statistics.median(
                    r["executors"]["1 thread"]["wall_seconds"] / r["executors"][name]["wall_seconds"]
                    for r in result["rounds"]
                    if r["inputs"] == count
                ),
                "processor_time": statistics.median(
                    r["executors"][name]["processor_seconds"]
                    / r["executors"]["1 thread"]["processor_seconds"]
                    for r in result["rounds"]
                    if r["inputs"] == count
                ),
            }
            for name in compared
        }
        for count in asked.counts
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["against_one_thread"], indent=1))


if __name__ == "__main__":
    main()
