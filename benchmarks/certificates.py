"""Certified radii and Lipschitz bounds of every identity unit of a ResNet, against what norms alone prove.

Usage: python benchmarks/certificates.py --weights WEIGHTS --images FOLDER [-n 4] [--units NAMES] [--save RESULT.json]
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from resnet_diffeo_probe.bijectivity import global_certificate, local_certificate
from resnet_diffeo_probe.bijectivity.error_bound import branch_bounds
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import UnitJacobian, smallest_singular_value
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

_CIFAR = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)


def main() -> None:
    """Certify and time; print one line for each unit, input and norm, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("-n", type=int, default=4)
    parser.add_argument("--units", nargs="*", default=[])
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    inputs = read_inputs(options.images, count=options.n, preprocessing=_CIFAR)
    discovery = discover(load(options.weights).module, inputs.tensor[:1]).to(dtype=torch.float64)
    _, activations = discovery.run(inputs.tensor.double())
    rows: list[dict[str, Any]] = []
    bounds_of: list[dict[str, Any]] = []
    for unit in discovery.units:
        if not unit.preserves_dimension or (options.units and unit.name not in options.units):
            continue
        jacobian, at = UnitJacobian(unit), activations[unit.name].input
        certificate = global_certificate(jacobian, x=at[:1])
        bounds_of.append({"unit": unit.name, "upper": certificate.upper, "lower": certificate.lower})
        print(json.dumps(bounds_of[-1]), flush=True)
        bounds = branch_bounds(jacobian)
        if bounds is None:
            continue
        for name, x in zip(inputs.names, at, strict=True):
            factorization = jacobian.at(x[None]).factorize(keep=True)
            sigma = smallest_singular_value(factorization.linearization, factorization).value
            for p in (2, math.inf):
                clock = time.perf_counter()
                found = local_certificate(factorization, bounds, p=p, sigma_min=sigma)
                row = {"unit": unit.name, "input": name, **found.to_json(), "sigma_min": sigma}
                del row["arithmetic"], row["criterion"]
                row["seconds"] = round(time.perf_counter() - clock, 2)
                if found.radius is not None and found.classical_radius:
                    row["ratio"] = found.radius / found.classical_radius
                rows.append(row)
                print(json.dumps(row), flush=True)
    for norm in ("l2", "linf"):
        for unit_name in dict.fromkeys(row["unit"] for row in rows):
            ratios = [
                r["ratio"] for r in rows if r["unit"] == unit_name and r["norm"] == norm and "ratio" in r
            ]
            if ratios:
                low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
                print(
                    f"{unit_name} {norm}: {low:.0f} to {high:.0f}, median {middle:.0f} times the classical radius"
                )
    if options.save:
        environment = {"python": platform.python_version(), "torch": str(torch.__version__)}
        environment |= {"machine": platform.machine(), "threads": torch.get_num_threads()}
        options.save.parent.mkdir(parents=True, exist_ok=True)
        result = {"environment": environment, "lipschitz": bounds_of, "radii": rows}
        options.save.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
