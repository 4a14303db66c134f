"""Exact determinants against the dense way and against this machine's own matrix product, all in one run.

    python benchmarks/determinants.py --weights resnet20.th --images cifar10/ --out benchmarks/results/determinants.json

Two comparisons: one real unit of n = 4,096 against `torch.func.jacrev` and `torch.linalg.slogdet`; and sign and
log|det| of all identity units of the network on many images, by the same code as `diffeo-probe analyze --budget quick`.
Times are medians; the figures that count are the ratios. Units of ImageNet size: `imagenet.py`.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from environment import environment, gemm_seconds, publish
from networks import Trained, network_options, trained

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant


def median_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Return the median wall time of a few runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def against_dense(network: Trained, unit_name: str) -> dict[str, Any]:
    """Compare one unit at one input with the dense Jacobian."""
    _, at = next(network.unit_inputs())
    unit = next(u for u in network.units if u.name == unit_name)
    x = at[unit_name]
    jacobian = UnitJacobian(unit)
    jacobian.prepare()
    fast = determinant(jacobian.at(x))
    checked = median_seconds(lambda: determinant(jacobian.at(x)), 15)
    eliminated = median_seconds(lambda: jacobian.at(x).factorize(), 15)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # functorch scripts itself at its first use
        dense = torch.func.jacrev(unit.sum_map)(x).detach().reshape(unit.dimension, unit.dimension)
    sign, logabsdet = torch.linalg.slogdet(dense)
    dense_seconds = time.perf_counter() - started
    return {
        "unit": unit_name,
        "n": unit.dimension,
        "engine_seconds": eliminated,
        "engine_with_check_of_the_sign_seconds": checked,
        "dense_seconds": dense_seconds,
        "dense_over_engine": dense_seconds / eliminated,
        "dense_over_engine_with_check_of_the_sign": dense_seconds / checked,
        "signs_agree": int(sign) == fast.sign.value,
        "relative_difference_of_logabsdet": abs(float(logabsdet) - float(fast.logabsdet.value or 0))
        / abs(float(logabsdet)),
    }


def whole_network(network: Trained, gemm: float) -> dict[str, Any]:
    """Time sign and log|det| of every identity unit on every image."""
    settings = Settings(budget=Budget.QUICK, measures=("sign", "logabsdet", "sign_margin"))
    started = time.perf_counter()
    analysis = analyze(network.model, network.inputs, settings)
    seconds = time.perf_counter() - started
    return {
        "images": len(network.inputs.names),
        "units": sum(u["status"] == "complete" for u in analysis.result["units"]),
        "seconds": seconds,
        "seconds_over_gemm": seconds / gemm,
        "workers": settings.threads,
    }


def main() -> None:
    """Run the comparisons and print them as JSON."""
    parser = network_options(__doc__, count=100)
    parser.add_argument("--unit", default="layer3.1")
    options = parser.parse_args()
    network = trained(options)
    gemm = gemm_seconds()
    result = {
        "environment": environment(),
        "gemm_4096_float64_seconds": gemm,
        "against_dense": against_dense(network, options.unit),
        "whole_network": whole_network(network, gemm),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
