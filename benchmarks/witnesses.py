"""Witnesses of every identity unit of a ResNet: sizes, distances and times.

Usage: python benchmarks/witnesses.py --weights WEIGHTS --images FOLDER [-n 20] [--save RESULT.json]
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from resnet_diffeo_probe.bijectivity.search import clipping_witness, fold_witness
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

_CIFAR = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
_SHOWN = (
    "distance",
    "relative_distance",
    "gap",
    "first_distance",
    "grown_distance",
    "fold_distance",
    "in_orthant",
)


def main() -> None:
    """Find, check and time the witnesses; print one line each and the total."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    module = copy.deepcopy(load(options.weights).module).double().eval()
    inputs = read_inputs(options.images, count=options.n, preprocessing=_CIFAR)
    discovery = discover(module, inputs.tensor[:1].double())
    _, activations = discovery.run(inputs.tensor.double())
    rows: list[dict[str, Any]] = []
    for unit in discovery.units:
        if not unit.preserves_dimension:
            continue
        clock = time.perf_counter()
        jacobian, at = UnitJacobian(unit), activations[unit.name].input
        signs = [jacobian.at(x[None]).factorize().sign for x in at]
        signed = time.perf_counter() - clock
        for find in (
            lambda: fold_witness(unit, jacobian, at, signs, inputs.names, module=module),  # noqa: B023
            lambda: clipping_witness(unit, jacobian, at, inputs.names, module=module),  # noqa: B023
        ):
            clock = time.perf_counter()
            found = find()
            row: dict[str, Any] = {
                "unit": unit.name,
                "negative": signs.count(-1),
                "seconds_for_signs": round(signed, 2),
            }
            row["seconds"] = round(time.perf_counter() - clock, 2)
            if found is not None:
                about = found.to_json()
                row |= {"map": found.map, "is_proof": found.is_proof, "checked_by": about["checked_by"]}
                row |= {key: about[key] for key in _SHOWN if key in about}
            rows.append(row)
            print(json.dumps(row), flush=True)
    total = time.perf_counter() - started
    proven = sum(1 for row in rows if row.get("is_proof"))
    print(
        f"{proven} of {len(rows)} pairs proven in {total:.1f} s, {options.n} inputs, {torch.get_num_threads()} threads"
    )
    if options.save:
        environment = {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        }
        options.save.parent.mkdir(parents=True, exist_ok=True)
        result = {"environment": environment, "inputs": options.n, "seconds": round(total, 1), "pairs": rows}
        options.save.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
