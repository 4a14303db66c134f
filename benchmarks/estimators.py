r"""Estimators beside the exact log|det J| on every identity unit of a ResNet, and the metric pulled back to the pixels.

    python benchmarks/estimators.py --weights resnet20.th --images cifar10/ --pullback \
        --out benchmarks/results/estimators.json

At the first of `--count` images.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from environment import environment, write_result
from networks import network_options, trained

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.estimators import (
    branch_map,
    half_logdet_by_lanczos,
    linearized_map,
    logdet_by_power_series,
)
from resnet_diffeo_probe.jacobian.estimators.power_series import series_samples
from resnet_diffeo_probe.jacobian.measures.pullback import pushed_tangents
from resnet_diffeo_probe.jacobian.measures.rectangular import findings_of_matrix
from resnet_diffeo_probe.units import Discovery

_TERMS = 10
_STEPS = (32, 128)


def unit_row(unit: Any, x: torch.Tensor) -> dict[str, Any]:
    """Compare the estimators with the exact value on one unit at one input."""
    jacobian = UnitJacobian(unit)
    jacobian.prepare()
    clock = time.perf_counter()
    lin = jacobian.at(x)
    exact = lin.factorize().logabsdet
    direct = time.perf_counter() - clock
    row: dict[str, Any] = {"unit": unit.name, "n": lin.dimension, "exact": round(exact, 3)}
    row["exact_seconds"] = round(direct, 3)
    for steps in _STEPS:
        clock = time.perf_counter()
        found = half_logdet_by_lanczos(linearized_map(lin), max_steps=steps)
        seconds = time.perf_counter() - clock
        row[f"lanczos_{steps}"] = {
            "value": found.value,
            "interval": found.interval,
            "covers": found.interval is not None and found.interval[0] <= exact <= found.interval[1],
            "seconds": round(seconds, 2),
            "times_exact": round(seconds / direct, 1),
        }
    clock = time.perf_counter()
    series = logdet_by_power_series(branch_map(lin))
    row["series"] = {
        "value": series.value,
        "status": series.status.value,
        "reason": series.reason,
        "seconds": round(time.perf_counter() - clock, 2),
    }
    sums = series_samples(branch_map(lin), _TERMS).mean(axis=1)
    row["series_partial_sums"] = [round(float(total), 1) for total in sums]
    return row


def pullback_rows(network: Discovery, x: torch.Tensor) -> list[dict[str, Any]]:
    """Measure the pulled-back metric at every depth for all pixels."""
    rows = []
    clock = time.perf_counter()
    for name, columns in pushed_tangents(network, x):
        pushed = time.perf_counter() - clock
        clock = time.perf_counter()
        found = findings_of_matrix(columns, eps=float(torch.finfo(x.dtype).eps))
        row: dict[str, Any] = {"unit": name, "outputs": columns.shape[1], "pixels": columns.shape[0]}
        row |= {quantity: finding.to_json() for quantity, finding in found.items()}
        row |= {"push_seconds": round(pushed, 2), "svd_seconds": round(time.perf_counter() - clock, 2)}
        rows.append(row)
        print(json.dumps(row), flush=True)
        clock = time.perf_counter()
    return rows


def main() -> None:
    """Print one line for each unit."""
    parser = network_options(__doc__, count=1)
    parser.add_argument(
        "--pullback", action="store_true", help="also the metric of all pixels at every depth"
    )
    options = parser.parse_args()
    network = trained(options)
    image, at = next(network.unit_inputs())
    rows = []
    for unit in network.units:
        rows.append(unit_row(unit, at[unit.name]))
        print(json.dumps(rows[-1]), flush=True)
    x = network.inputs.tensor[:1].double()
    depths = pullback_rows(network.discovery, x) if options.pullback else []
    result = {"environment": environment(), "image": image, "units": rows, "pullback": depths}
    write_result(result, options.out)


if __name__ == "__main__":
    main()
