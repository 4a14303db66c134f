"""What a determinant costs beside its elimination: linearising, choosing the active rows, gathering them.

    python benchmarks/overhead.py --weights resnet20.th --images cifar10/ --out benchmarks/results/overhead.json

Every identity unit of the given network at a few images, and those of a ResNet-18 at 224×224 with random weights
(`networks.py`), each part timed by itself on one thread (ResNet-18: on all), the smallest of a few runs. What a unit
prepares once for all inputs is given beside it. The share that counts: all but the elimination over the elimination.
Gathering is timed by the compiled loop, where numba is installed, and by tiles, as it is done without.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
import torchvision
from environment import environment, gemm_seconds, least_seconds, publish
from networks import network_options, trained, unit_inputs
from superlu import assembled
from torch import Tensor

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.elimination.reduction import ReducedMatrix
from resnet_diffeo_probe.jacobian.elimination.row_tiles import TileTable
from resnet_diffeo_probe.jacobian.elimination.rows import factorize


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
    reduced = lin.reduced
    tiles = TileTable(reduced.product, reduced.layout)
    by_tiles = ReducedMatrix(reduced.product, reduced.layout, reduced.diagonals, lambda: tiles)
    gathering_tiles = least_seconds(lambda: gather(by_tiles.system()), repeats)
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
        "gather_by_tiles_seconds": gathering_tiles,
        "elimination_seconds": elimination,
        "overhead_over_elimination": (linearise + max(choose, 0.0) + gathering) / elimination,
    }


def medians(rows: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Return the median of a figure by n."""
    return {
        str(n): statistics.median(row[key] for row in rows if row["n"] == n)
        for n in sorted({row["n"] for row in rows})
    }


def main() -> None:
    """Time all units and print JSON."""
    parser = network_options(__doc__, count=3)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--imagenet", nargs="*", default=["layer2.1", "layer3.1", "layer4.1"])
    options = parser.parse_args()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network = trained(options)
    rows = []
    for name, at in network.unit_inputs():
        rows += [
            {"image": name} | parts(UnitJacobian(unit), at[unit.name], options.repeats)
            for unit in network.units
        ]
    torch.set_num_threads(threads)
    _, units = unit_inputs(lambda: torchvision.models.resnet18(weights=None), 224)
    rows += [
        {"image": "random"} | parts(UnitJacobian(u), x, 1) for u, x in units if u.name in options.imagenet
    ]
    for row in rows:
        row["tiles_over_loop"] = row["gather_by_tiles_seconds"] / row["gather_seconds"]
    result = {
        "environment": environment(),
        "gemm_4096_float64_seconds": gemm_seconds(),
        "median_overhead_over_elimination_by_n": medians(rows, "overhead_over_elimination"),
        "median_tiles_over_loop_by_n": medians(rows, "tiles_over_loop"),
        "rows": rows,
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
