"""What a determinant costs beside its elimination: linearising, choosing the active rows, gathering them.

    python benchmarks/overhead.py --weights resnet20.th --images cifar10/ --out benchmarks/results/overhead.json

Every identity unit of the given network at a few images, and those of a ResNet-18 at 224×224 with random weights
(`networks.py`), each part timed by itself on one thread (ResNet-18: on all), the smallest of a few runs. What a unit
prepares once for all inputs is given beside it. The share that counts: all but the elimination over the elimination.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from environment import environment, gemm_seconds
from networks import unit_inputs
from superlu import assembled
from torch import Tensor

from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.elimination import factorize
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover


def least_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Return the smallest wall time of a few runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def gather(system: BlockSystem) -> None:
    """Ask for every block once, as elimination does."""
    largest = max(system.sizes, default=0)
    out = torch.zeros(largest, largest, dtype=system.dtype)
    for i, neighbours in enumerate(system.coupled):
        for a, b in ((i, i), *((i, j) for j in neighbours), *((j, i) for j in neighbours)):
            system.add_block(out[: system.sizes[a], : system.sizes[b]], a, b)


def parts(jacobian: UnitJacobian, x: Tensor, repeats: int) -> dict[str, Any]:
    """Time the parts of one determinant."""
    started = time.perf_counter()
    jacobian.prepare()
    once = time.perf_counter() - started
    lin = jacobian.at(x)
    linearise = least_seconds(lambda: jacobian.at(x), max(3, repeats))
    choose = least_seconds(lambda: jacobian.at(x).reduced, max(3, repeats)) - linearise
    gathering = least_seconds(lambda: gather(lin.reduced.system()), repeats)
    given = assembled(lin.reduced.system())
    elimination = least_seconds(lambda: factorize(given), repeats)
    return {
        "unit": jacobian.name,
        "n": x.numel(),
        "order": given.order,
        "threads": torch.get_num_threads(),
        "once_per_unit_seconds": once,
        "linearise_seconds": linearise,
        "choose_cut_seconds": max(choose, 0.0),
        "gather_seconds": gathering,
        "elimination_seconds": elimination,
        "overhead_over_elimination": (linearise + max(choose, 0.0) + gathering) / elimination,
    }


def main() -> None:
    """Time all units and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--imagenet", nargs="*", default=["layer2.1", "layer3.1", "layer4.1"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = load(options.weights)
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    inputs = read_inputs(
        options.images, count=options.count, preprocessing=preprocessing, shape=model.input_shape
    )
    found = discover(model.module, inputs.tensor[:1]).to(dtype=torch.float64)
    rows = []
    for index, name in enumerate(inputs.names):
        _, seen = found.run(inputs.tensor[index : index + 1].double())
        rows += [
            {"image": name} | parts(UnitJacobian(u), seen[u.name].input, options.repeats)
            for u in found.units
            if u.preserves_dimension
        ]
    torch.set_num_threads(threads)
    _, units = unit_inputs(lambda: torchvision.models.resnet18(weights=None), 224)
    rows += [
        {"image": "random"} | parts(UnitJacobian(u), x, 1) for u, x in units if u.name in options.imagenet
    ]
    medians = {
        str(n): statistics.median(row["overhead_over_elimination"] for row in rows if row["n"] == n)
        for n in sorted({row["n"] for row in rows})
    }
    result = {
        "environment": environment(),
        "gemm_4096_float64_seconds": gemm_seconds(),
        "median_overhead_over_elimination_by_n": medians,
        "rows": rows,
    }
    print(json.dumps(result | {"rows": len(rows)}, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
