"""Which units of which networks the exact engine takes, against the dense Jacobian where that is possible.

    python benchmarks/units.py --out benchmarks/results/units.json

Networks of torchvision and timm, random weights, batch norms with the statistics of a batch (`networks.py`). At a small
image size every identity unit of at most `--dense` coordinates is compared with `slogdet` of its Jacobian by
automatic differentiation; larger ones run alone. At 224 the plan of every unit is made (cut, order, operations, memory,
with half of the coordinates active) and the first unit that the limits allow is run. What is not run says why.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from environment import environment, gemm_seconds
from networks import calibrate, images
from torch import Tensor, nn

from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from resnet_diffeo_probe.jacobian.linearized.dense import dense_logdet
from resnet_diffeo_probe.units import ResidualUnit, discover

GEMM_FLOPS = 2 * 4096**3
VIDEO = "r3d_18"
TORCHVISION = (
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "regnet_y_400mf",
    "mobilenet_v2",
    "efficientnet_b0",
    "convnext_tiny",
    VIDEO,
)
TIMM = ("resnetv2_50", "seresnet50", "ecaresnet26t")


def network_of(name: str) -> nn.Module:
    """Build a network under a fixed seed."""
    torch.manual_seed(0)
    if name in TIMM:
        return timm.create_model(name, pretrained=False)
    if name == VIDEO:
        return torchvision.models.video.r3d_18(weights=None)
    return getattr(torchvision.models, name)(weights=None)


def batch_of(name: str, count: int, size: int, seed: int) -> Tensor:
    """Return images, or clips of eight frames that change slowly."""
    if name != VIDEO:
        return images(count, size, seed=seed)
    frames = [
        images(count, size, seed=seed) + 0.2 * k * images(count, size, seed=seed + 50) for k in range(8)
    ]
    return torch.stack(frames, dim=2)


def described(jacobian: UnitJacobian) -> dict[str, Any]:
    """Return the plan of the cheapest cut with half of the coordinates active."""
    if jacobian.not_read is not None:
        return {"cut": "dense Jacobian", "why": jacobian.not_read}
    estimates = [jacobian.estimate(cut, active=0.5 if cut else 1.0) for cut in jacobian.cuts]
    best = min(estimates, key=lambda estimate: estimate.flops)
    return {
        "cut": best.cut_name,
        "expected_order": best.order,
        "expected_flops_over_gemm": best.flops / GEMM_FLOPS,
        "expected_gib": best.check_bytes / 2**30,
    }


def measured(jacobian: UnitJacobian, unit: ResidualUnit, x: Tensor, dense: int) -> dict[str, Any]:
    """Run the exact engine, and the dense way where n is small."""
    started = time.perf_counter()
    lin = jacobian.at(x)
    found = determinant(lin, keep=False)
    row: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "order": lin.reduced.order,
        "rank_of_gates": lin.rank,
        "sign": found.sign.value,
        "status": found.sign.status.value,
        "logabsdet": found.logabsdet.value,
        "margin": found.margin.value,
    }
    if unit.dimension <= dense:
        sign, logabsdet = dense_logdet(unit.sum_map, x)
        row["agrees_in_sign"] = None if found.sign.value is None else sign == found.sign.value
        row["relative_difference_of_logabsdet"] = abs(logabsdet - (found.logabsdet.value or 0)) / max(
            1, abs(logabsdet)
        )
    return row


def rows_of(name: str, size: int, options: argparse.Namespace, *, one: bool) -> list[dict[str, Any]]:
    """Go through the identity units of one network.

    Args:
        name: of the network.
        size: of the images.
        options: limits.
        one: run only the first unit within them.
    """
    network = calibrate(network_of(name), batch_of(name, 4, size, seed=1))
    image = batch_of(name, 1, size, seed=2)
    found = discover(network, image).to(dtype=torch.float64)
    _, seen = found.run(image.double())
    rows, done = [], False
    for unit in found.units:
        if not unit.preserves_dimension:
            continue
        row: dict[str, Any] = {"network": name, "size": size, "unit": unit.name, "n": unit.dimension}
        try:
            jacobian = UnitJacobian(unit)
            row |= described(jacobian)
            flops, gib = row.get("expected_flops_over_gemm", 0.0), row.get("expected_gib", 0.0)
            if flops > options.gemms or gib > options.memory:
                row["not_run"] = f"{flops:.0f} GEMM and {gib:.1f} GiB are more than this benchmark allows"
            elif one and done:
                row["not_run"] = "planned only: another unit of this network was run"
            else:
                row |= measured(jacobian, unit, seen[unit.name].input, options.dense)
                done = True
        except DiffeoProbeError as error:
            row["refused"] = error.what
        rows.append(row)
        jacobian = None
        gc.collect()
    return rows


def main() -> None:
    """Go through all networks at both sizes; what is there so far is written after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, help="of the small images")
    parser.add_argument("--networks", nargs="*", default=[*TORCHVISION, *TIMM])
    parser.add_argument(
        "--dense", type=int, default=2500, help="largest n that is compared with the dense way"
    )
    parser.add_argument(
        "--gemms", type=float, default=20, help="operations that one unit may take, in 4096³ products"
    )
    parser.add_argument("--memory", type=float, default=6, help="GiB that one unit may take")
    parser.add_argument("--small-only", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the networks that --out has already")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "environment": environment(),
        "gemm_4096_float64_seconds": gemm_seconds(1),
        "rows": [],
    }
    if options.resume and options.out is not None and options.out.exists():
        result["rows"] = json.loads(options.out.read_text(encoding="utf-8"))["rows"]
    there = {(row["network"], row["size"]) for row in result["rows"]}
    sizes = [(options.size, False)] if options.small_only else [(options.size, False), (224, True)]
    for name in options.networks:
        for size, one in sizes:
            # a clip at 224 has eight times the coordinates; video networks are trained at 112
            pixels = 112 if name == VIDEO and size == 224 else size
            if (name, pixels) in there:
                continue
            rows = rows_of(name, pixels, options, one=one)
            result["rows"] += rows
            print(summary(name, rows), flush=True)
            if options.out is not None:
                options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summary(name: str, rows: list[dict[str, Any]]) -> str:
    """Return one line on a network."""
    compared = [row for row in rows if "agrees_in_sign" in row]
    worst = max((row["relative_difference_of_logabsdet"] for row in compared), default=0.0)
    agreeing = sum(bool(row["agrees_in_sign"]) for row in compared)
    size = rows[0]["size"] if rows else 0
    return (
        f"{name} at {size}: {len(rows)} units, {sum('sign' in row for row in rows)} run, {len(compared)} compared with "
        f"dense, {agreeing} signs agree, log|det| within {worst:.1e}; {sum('refused' in row for row in rows)} refused"
    )


if __name__ == "__main__":
    main()
