"""Sign and log|det| of all identity units of a network of ImageNet size at one image, against one matrix product.

    python benchmarks/imagenet.py --out benchmarks/results/imagenet.json

The five of a ResNet-18 and the bottleneck `layer1.1` of a ResNet-50 (n = 802,816), at 224×224, random weights, batch
norms with the statistics of a batch (`networks.py`); each unit with the check of its sign, in a process of its own, so
that its peak memory is its own. The yardstick is one 4096³ float64 product on all threads, timed in the same process
before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from environment import environment

UNITS = (
    ("resnet50", "layer1.1"),
    ("resnet18", "layer4.1"),
    ("resnet18", "layer3.1"),
    ("resnet18", "layer2.1"),
    ("resnet18", "layer1.1"),
    ("resnet18", "layer1.0"),
)


def measured(network: str, unit: str, size: int) -> dict[str, Any]:
    """Run one unit in a process of its own."""
    scaling = Path(__file__).with_name("scaling.py")
    arguments = ["--point", "elimination", network, unit, str(size)]
    run = subprocess.run(
        [sys.executable, str(scaling), *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(run.stdout)


def main() -> None:
    """Measure all units and print them with their sum for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--resume", action="store_true", help="keep the units that --out has already")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment(), "rows": []}
    if options.resume and options.out is not None and options.out.exists():
        result = json.loads(options.out.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = result["rows"]
    for network, unit in UNITS:
        if any(row["unit"] == f"{network} {unit}" for row in rows):
            continue
        rows.append(measured(network, unit, options.size))
        print(
            f"{network} {unit}: {rows[-1]['seconds_over_gemm']:.1f} GEMM "
            f"({rows[-1]['processor_seconds_over_gemm']:.1f} in processor time), "
            f"{rows[-1]['peak_gib_of_process']:.1f} GiB, load {rows[-1]['load_average']:.1f}",
            flush=True,
        )
        result["total_over_gemm"] = totals(rows)
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(totals(rows)))


def totals(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the sums over each network's units, in wall time and in processor time."""
    networks = dict.fromkeys(row["unit"].split()[0] for row in rows)
    return {
        network: {
            key: sum(row[f"{key}_over_gemm"] for row in rows if row["unit"].startswith(f"{network} "))
            for key in ("seconds", "processor_seconds")
        }
        for network in networks
    }


if __name__ == "__main__":
    main()
