"""Throughput against workers: threads, processes and Dask workers of this machine, beside one thread, in one run.

    python benchmarks/scale.py --weights resnet20.th --images cifar10/      # writes reports/scale.json and its tables
    python benchmarks/scale.py --tables-only                                # the tables of reports/scale.md again

Without weights: the network that ships with the package, on its own images. What is measured are sign and log|det| of
every identity unit at every input, by the tasks that `diffeo-probe analyze` makes of them. All executors are started
and warmed up first, and no image is met twice by the same one; then they take turns, round by round, so that whatever
else the machine does meets all of them. The figures that count are the ratios to one thread within a round; the
processor time of a round, over all processes of the executor, says what a pair costs where the clock cannot.

Dask's workers run without MALLOC_TRIM_THRESHOLD_, as the documents on clusters advise: the variable, which Dask sets,
costs 30 % of processor time, and would be inherited by the processes that are started after its workers.
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

import dask
import distributed
import psutil
import torch
from environment import environment, gemm_seconds, write_result
from networks import loaded

from resnet_diffeo_probe.analysis.measuring.executors import InProcesses, InThreads
from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask
from resnet_diffeo_probe.analysis.measuring.specification import ModelFile, Specification
from resnet_diffeo_probe.analysis.measuring.tasks import Executor, Task
from resnet_diffeo_probe.analysis.planning.plan import Plan, make_plan, prepared
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings

REPORT = Path(__file__).resolve().parent.parent / "reports" / "scale.json"
# What a core hour is assumed to cost, and what is reckoned up.
DOLLARS, IMAGES, WORKERS = 0.04, 10**6, 100


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
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
    # None: left out
    stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}))
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
    on_dask = stack.enter_context(OnDask(cluster.scheduler_address, specification, plan))
    one, two = (stack.enter_context(InThreads(discovery, plan, workers=count)) for count in (1, 2))
    return {
        "1 thread": one,
        "2 threads": two,
        "2 processes": processes,
        "2 Dask processes": on_dask,
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


def against_one_thread(rounds: list[dict[str, Any]], count: int, name: str) -> dict[str, Any]:
    """Return the figures of an executor in the rounds of so many inputs, to those of one thread."""

    def ratios(quantity: str, *, inverse: bool = False) -> list[float]:
        there = [r["executors"] for r in rounds if r["inputs"] == count]
        found = [taken[name][quantity] / taken["1 thread"][quantity] for taken in there]
        return [1 / ratio for ratio in found] if inverse else found

    throughput = ratios("wall_seconds", inverse=True)
    return {
        "throughput": statistics.median(throughput),
        "throughput_of_rounds": throughput,
        "processor_time": statistics.median(ratios("processor_seconds")),
    }


def throughput_table(result: dict[str, Any]) -> str:
    """Return the table of throughput against workers, in Markdown."""
    lines = [
        "| workers | inputs a round | throughput, to 1 thread | of the rounds | processor time, to 1 thread |",
        "|---|---|---|---|---|",
    ]
    for count in sorted({r["inputs"] for r in result["rounds"]}):
        for name in result["rounds"][0]["executors"]:
            if name == "1 thread":
                continue
            found = against_one_thread(result["rounds"], count, name)
            each = ", ".join(f"{ratio:.2f}" for ratio in found["throughput_of_rounds"])
            lines.append(
                f"| {name} | {count} | {found['throughput']:.2f} | {each} | {found['processor_time']:.2f} |"
            )
    return "\n".join(lines)


def paper_table(result: dict[str, Any]) -> str:
    """Return what a million images on a hundred workers would take, from the processor time of Dask's, in Markdown."""
    units = len(result["units"])
    each = statistics.median(
        r["executors"]["2 Dask processes"]["processor_seconds"] / r["inputs"] for r in result["rounds"]
    )
    hours = each * IMAGES / 3600
    second = WORKERS / (each / units)
    rows = {
        "tasks": f"{units} × 10⁶",
        "processor time of an image, as Dask's workers took it": f"{each:.2f} s, {each / units:.3f} s a pair",
        "processor time": f"{each * IMAGES:.2g} s = {hours:.0f} core hours",
        f"on {WORKERS} workers, if they are kept busy": f"{hours / WORKERS:.1f} hours",
        f"at an assumed {DOLLARS} dollars a core hour": f"{hours * DOLLARS:.0f} dollars",
        "tasks to be handed out": f"{second:.0f} a second",
        "sent to workers": f"24.6 kB a task (3 × 32 × 32 float64), {24.6e3 * units * IMAGES / 1e9:.0f} GB in all, "
        f"{24.6e3 * second / 1e6:.0f} MB/s",
        "sent back": f"about 0.5 kB a task, {0.5e3 * units * IMAGES / 1e9:.1f} GB",
        "model sent": f"once a worker: 1.1 MB × {WORKERS}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows.items())])


def write_tables(result: dict[str, Any], page: Path) -> None:
    """Put the tables in their places in the page, between the comments that are named after them."""
    text = page.read_text(encoding="utf-8")
    for name, table in {"throughput": throughput_table(result), "paper": paper_table(result)}.items():
        begin, end = f"<!-- {name}: written by benchmarks/scale.py -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, mark, after = rest.partition(end)
        if not mark:
            raise SystemExit(f"{page} has no place for the table '{name}'")
        text = before + begin + table + end + after
    page.write_text(text, encoding="utf-8")


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
    parser.add_argument("--tables-only", action="store_true", help="from the figures that are there")
    asked = parser.parse_args()
    page = asked.out.with_suffix(".md")
    if asked.tables_only:
        write_tables(json.loads(asked.out.read_text(encoding="utf-8")), page)
        return
    needed = 2 + sum(asked.counts) * asked.rounds
    network = loaded(asked.weights, asked.images, needed)
    x, discovery = network.inputs.tensor, network.discovery
    settings = Settings(budget=Budget.QUICK, measures=("sign", "logabsdet"), workers=2)
    plan = prepared(make_plan(discovery, settings))
    specification = Specification.of(ModelFile.of(network.model, travels=True), x[:1], plan)
    result: dict[str, Any] = {
        "model": network.model.architecture,
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
        str(count): {name: against_one_thread(result["rounds"], count, name) for name in compared}
        for count in asked.counts
    }
    write_result(result, asked.out)
    if page.exists():
        write_tables(result, page)
    print(json.dumps(result["against_one_thread"], indent=1))


if __name__ == "__main__":
    main()
