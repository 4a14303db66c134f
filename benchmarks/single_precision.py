"""Would float32 first, and float64 only where its margin asks for it, be a faster way to a sign?

    python benchmarks/single_precision.py --weights resnet20.th --images cifar10/ --out single_precision.json

Every identity unit at several images: processor time of one determinant with its check in both arithmetics, on one
thread, and whether float32's margin settles the sign. The scheme costs float32 always, and float64 where it does not.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from environment import environment, least_seconds, publish
from networks import Trained, network_options, trained

from resnet_diffeo_probe.jacobian import Determinant, UnitJacobian, determinant


def timed(jacobian: UnitJacobian, x: torch.Tensor, repeats: int) -> tuple[float, Determinant]:
    """Return the smallest processor time of a determinant with its check, and the determinant."""
    found = determinant(jacobian.at(x), keep=False)
    return least_seconds(lambda: determinant(jacobian.at(x), keep=False), repeats, time.process_time), found


def real_units(network: Trained, repeats: int) -> list[dict[str, Any]]:
    """Time both arithmetics on every unit at every image."""
    in_single = network.discovery.to(dtype=torch.float32)
    pairs = [
        (UnitJacobian(single), UnitJacobian(double))
        for single, double in zip(in_single.units, network.discovery.units, strict=True)
        if double.preserves_dimension
    ]
    rows = []
    for name, at in network.unit_inputs():
        for single, double in pairs:
            x = at[double.name]
            (t32, f32), (t64, f64) = timed(single, x, repeats), timed(double, x, repeats)
            rows.append(
                {
                    "image": name,
                    "unit": double.name,
                    "n": x.numel(),
                    "float32_seconds": t32,
                    "float64_seconds": t64,
                    "settled_by_float32": f32.sign.value is not None,
                    "agrees": f32.sign.value in (None, f64.sign.value),
                    "float32_margin": f32.margin.value,
                    "float64_margin": f64.margin.value,
                }
            )
    return rows


def main() -> None:
    """Measure and print the sums."""
    parser = network_options(__doc__, count=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = real_units(trained(options), options.repeats)
    total32, total64 = (sum(r[f"{name}_seconds"] for r in rows) for name in ("float32", "float64"))
    again = sum(r["float64_seconds"] for r in rows if not r["settled_by_float32"])
    result = {
        "environment": environment(),
        "determinants": len(rows),
        "float32_over_float64": total32 / total64,
        "settled_by_float32": sum(r["settled_by_float32"] for r in rows),
        "signs_that_contradict": sum(not r["agrees"] for r in rows),
        "float32_first_over_float64": (total32 + again) / total64,
        "rows": rows,
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
