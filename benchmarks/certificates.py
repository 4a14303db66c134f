"""Certified radii and Lipschitz bounds of every identity unit of a ResNet, against what norms alone prove.

python benchmarks/certificates.py --weights resnet20.th --images cifar10/ --out benchmarks/results/certificates.json
"""

from __future__ import annotations

import json
import math
import statistics
import time
from typing import Any

from environment import environment, write_result
from networks import network_options, trained

from resnet_diffeo_probe.bijectivity import global_certificate, local_certificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import branch_bounds
from resnet_diffeo_probe.jacobian import UnitJacobian, smallest_singular_value


def main() -> None:
    """Certify and time; print one line for each unit, input and norm, and the ratios."""
    parser = network_options(__doc__, count=4)
    parser.add_argument("--units", nargs="*", default=[])
    options = parser.parse_args()
    network = trained(options)
    _, activations = network.discovery.run(network.inputs.tensor.double())
    rows: list[dict[str, Any]] = []
    bounds_of: list[dict[str, Any]] = []
    for unit in network.units:
        if options.units and unit.name not in options.units:
            continue
        jacobian, at = UnitJacobian(unit), activations[unit.name].input
        certificate = global_certificate(jacobian, x=at[:1])
        bounds_of.append({"unit": unit.name, "upper": certificate.upper, "lower": certificate.lower})
        print(json.dumps(bounds_of[-1]), flush=True)
        bounds = branch_bounds(jacobian)
        if bounds is None:
            continue
        for name, x in zip(network.inputs.names, at, strict=True):
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
    write_result({"environment": environment(), "lipschitz": bounds_of, "radii": rows}, options.out)


if __name__ == "__main__":
    main()
