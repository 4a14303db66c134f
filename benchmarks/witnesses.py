"""Witnesses of every identity unit of a ResNet: sizes, distances and times.

python benchmarks/witnesses.py --weights resnet20.th --images cifar10/ --out benchmarks/results/witnesses.json
"""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import torch
from environment import environment, write_result
from networks import network_options, trained

from resnet_diffeo_probe.bijectivity.search.search import clipping_witness, fold_witness
from resnet_diffeo_probe.jacobian import UnitJacobian

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
    parser = network_options(__doc__, count=20)
    options = parser.parse_args()
    started = time.perf_counter()
    network = trained(options)
    module, names = copy.deepcopy(network.model.module).double(), network.inputs.names
    _, activations = network.discovery.run(network.inputs.tensor.double())
    rows: list[dict[str, Any]] = []
    for unit in network.units:
        clock = time.perf_counter()
        jacobian, at = UnitJacobian(unit), activations[unit.name].input
        signs = [jacobian.at(x[None]).factorize().sign for x in at]
        signed = time.perf_counter() - clock
        for find in (
            lambda: fold_witness(unit, jacobian, at, signs, names, module=module),  # noqa: B023
            lambda: clipping_witness(unit, jacobian, at, names, module=module),  # noqa: B023
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
        f"{proven} of {len(rows)} pairs proven in {total:.1f} s, {options.count} inputs, "
        f"{torch.get_num_threads()} threads"
    )
    result = {
        "environment": environment(),
        "inputs": options.count,
        "seconds": round(total, 1),
        "pairs": rows,
    }
    write_result(result, options.out)


if __name__ == "__main__":
    main()
