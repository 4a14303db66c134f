"""Would float32 first, and float64 only where its margin asks for it, be a faster way to a sign?

    python benchmarks/single_precision.py --weights resnet20.th --images cifar10/ --out single_precision.json

Every identity unit at several images: processor time of one determinant with its check in both arithmetics, on one
thread, and whether float32's margin settles the sign. The scheme costs float32 always, and float64 where it does not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from environment import environment

from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import Determinant, UnitJacobian, determinant
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import Discovery, discover


def timed(jacobian: UnitJacobian, x: torch.Tensor, repeats: int) -> tuple[float, Determinant]:
    """Return the smallest processor time of a determinant with its check, and the determinant."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        found = determinant(jacobian.at(x), keep=False)
        times.append(time.process_time() - started)
    return min(times), found


def real_units(found: dict[str, Discovery], inputs: Any, repeats: int) -> list[dict[str, Any]]:
    """Time both arithmetics on every unit at every image."""
    jacobians = {
        dtype: [UnitJacobian(u) for u in discovery.units if u.preserves_dimension]
        for dtype, discovery in found.items()
    }
    rows = []
    for index, name in enumerate(inputs.names):
        _, seen = found["float64"].run(inputs.tensor[index : index + 1].double())
        for single, double in zip(jacobians["float32"], jacobians["float64"], strict=True):
            x = seen[double.name].input
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(options.weights)
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    inputs = read_inputs(
        options.images, count=options.count, preprocessing=preprocessing, shape=model.input_shape
    )
    discovery = discover(model.module, inputs.tensor[:1])
    found = {name: discovery.to(dtype=getattr(torch, name)) for name in ("float32", "float64")}
    rows = real_units(found, inputs, options.repeats)
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
    print(json.dumps(result | {"rows": len(rows)}, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
