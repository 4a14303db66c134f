"""`diffeo-probe inspect`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import PATH, Size, model_options
from resnet_diffeo_probe.errors import InputsError

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
    from resnet_diffeo_probe.models import LoadedModel

__all__ = ["inspect"]


@click.command(
    cls=ConfiguredCommand, short_help="List the residual units of MODEL, and why other additions are none."
)
@click.argument("model", type=PATH)
@model_options
@click.option(
    "--channels", type=click.IntRange(min=1), help="Channels of an input, where the file does not say."
)
@click.option(
    "--size", type=Size(), help="Height and width of an input, where not those of the architecture."
)
def inspect(
    model: str,
    arch: str | None,
    trust_pickle: bool,
    channels: int | None,
    size: int | tuple[int, int] | None,
) -> int:
    """List the residual units of MODEL before anything is computed: shapes, method, expected time and memory."""
    import torch

    from resnet_diffeo_probe.analysis.planning.plan import make_plan
    from resnet_diffeo_probe.analysis.planning.settings import Settings
    from resnet_diffeo_probe.models import load
    from resnet_diffeo_probe.units import discover

    loaded = load(model, arch=arch, trust_pickle=trust_pickle)
    shape = _shape(loaded, channels, size)
    generator = torch.Generator().manual_seed(0)
    found = discover(loaded.module, torch.randn(1, *shape, generator=generator))
    plan = make_plan(found.to(dtype=torch.float64), Settings())
    click.echo(f"file:         {terminal.printable(loaded.path.name)}  sha256 {loaded.sha256[:16]}…")
    click.echo(f"format:       {terminal.printable(loaded.format)}")
    assumed = "  (assumed from names and shapes)" if loaded.architecture_assumed else ""
    click.echo(
        f"architecture: {terminal.printable(loaded.architecture)}{assumed}, {loaded.parameters:,} parameters"
    )
    click.echo(f"input:        {' × '.join(map(str, shape))}\n")
    _print_table(plan)
    for unit_plan in plan.units:
        if unit_plan.not_run or unit_plan.not_applicable:
            reason = unit_plan.not_run or unit_plan.not_applicable
            click.echo(terminal.printable(f"{unit_plan.unit.name}: {reason}"))
        if unit_plan.estimated:
            click.echo(
                terminal.printable(f"{unit_plan.unit.name}: no sign, only estimates: {unit_plan.estimated}")
            )
        if limit := unit_plan.about.get("if_it_does_not_fit"):
            click.echo(terminal.printable(f"{unit_plan.unit.name}: {limit}"))
    if found.rejected:
        click.echo("\nadditions that are no residual unit:")
        for rejected in found.rejected:
            click.echo(terminal.printable(f"  {rejected.name or 'the network'}: {rejected.reason}"))
    for note in (*loaded.notes, *found.notes):
        terminal.hint(note)
    return 0


def _shape(
    loaded: LoadedModel, channels: int | None, size: int | tuple[int, int] | None
) -> tuple[int, int, int]:
    known = loaded.input_shape
    if known is None and (channels is None or size is None):
        raise InputsError(
            "the file does not say which inputs the network takes",
            fix="--channels 3 --size 224",
            code="inputs-shape",
        )
    sides = size if isinstance(size, tuple) else (size, size) if size is not None else known[1:]  # type: ignore[index]
    return (channels if channels is not None else known[0]), *sides  # type: ignore[index]


def _print_table(plan: Plan) -> None:
    rate = _gemm_rate()
    header = ("unit", "shape", "n", "shortcut", "then", "cut at", "order", "GFLOP", "time", "memory")
    rows = [header, *(_row(p, rate) for p in plan.units)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo(
        "\norder, GFLOP, time and memory of one exact determinant if half of the coordinates at the cut are active;\n"
        f"time from this machine's own GEMM rate just now, {rate / 1e9:.0f} GFLOP/s, at half of it.\n"
    )


def _row(p: UnitPlan, rate: float) -> tuple[str, ...]:
    about: dict[str, Any] = p.about
    unit = p.unit
    first = (
        terminal.printable(unit.name),
        "×".join(map(str, unit.input_shape)),
        f"{unit.dimension:,}",
        unit.shortcut,
        unit.activation or "-",
    )
    if p.jacobian is None:
        return (*first, "-", "-", "-", "-", "-")
    if "expected_order" not in about:
        return (*first, about["method"], f"{unit.dimension:,}", "-", "-", "-")
    flops = about["expected_gigaflops"] * 1e9
    return (
        *first,
        about["cut"],
        f"{about['expected_order']:,}",
        f"{about['expected_gigaflops']:.3g}",
        _duration(2 * flops / rate),
        f"{about['expected_mebibytes']:,.0f} MiB",
    )


def _gemm_rate() -> float:
    """Return this machine's float64 matrix-product rate, in flops a second."""
    import torch

    side = 1024
    a = torch.ones(side, side, dtype=torch.float64)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
