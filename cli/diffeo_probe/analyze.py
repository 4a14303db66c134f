"""`diffeo-probe analyze`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffeo_probe import terminal
from diffeo_probe.configured import ConfiguredCommand
from diffeo_probe.folder import prepare_folder, writing
from diffeo_probe.options import (
    GATES,
    PATH,
    Words,
    model_options,
    preprocessing_of,
    preprocessing_options,
    thresholds_of,
)

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.analyze import Analysis

__all__ = ["analyze", "run_analysis"]

# Names of skipped files that are shown; the report lists all.
_SKIPPED_SHOWN = 5


@click.command(cls=ConfiguredCommand, short_help="Measure every residual unit of MODEL and write the report.")
@click.argument("model", type=PATH)
@model_options
@click.option(
    "--inputs",
    type=PATH,
    default="synthetic",
    show_default=True,
    help="A folder of images, an image, a .npy/.pt tensor, or 'synthetic'.",
)
@click.option(
    "-n", "--count", type=click.IntRange(min=1), help="How many inputs, evenly spaced over the sorted paths."
)
@click.option(
    "--labels",
    type=click.Choice(["folders", "none"]),
    default="folders",
    show_default=True,
    help="folders: the class is the sub-folder, in sorted order, where the model has as many classes.",
)
@preprocessing_options
@click.option(
    "--units", multiple=True, metavar="GLOB", help="Only units whose name matches; may be repeated."
)
@click.option("--measures", type=Words(), help="Quantities instead of a budget's; an unknown one lists them.")
@click.option(
    "--budget",
    type=click.Choice(["quick", "standard", "full"]),
    default="standard",
    show_default=True,
    help="quick: determinants. standard: also the spectrum, witnesses, certificates, the refinement test. "
    "full: also the exact inverse and a certified radius at every input.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="Arithmetic of every measure.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of synthetic inputs and of the random vectors that the measures use.",
)
@click.option(
    "--baseline",
    type=click.Choice(["zero", "black"]),
    default="zero",
    show_default=True,
    help="What inputs are compared with by the attribution: zero after normalisation, or a black image.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Measurements at the same time; default: one a core."
)
@click.option(
    "--max-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Memory that all factors held at one time may take; default: three quarters of the machine's.",
)
@click.option("--out", type=PATH, help="Output folder; default: a new one named after the model.")
@click.option("--overwrite", is_flag=True, help="Replace the results in --out.")
@click.option(
    "--thresholds",
    type=PATH,
    metavar="FILE",
    help="TOML file with limits, stored and shown with the numbers; "
    "`diffeo-probe explain thresholds` lists them.",
)
@click.option(
    "--fail-on",
    type=click.Choice(GATES),
    default="never",
    show_default=True,
    help="Exit with 1. error: if a unit was not run, or is beyond a limit of --thresholds; "
    "violation: also if one is proven not injective; uncertified: also if one is not certified injective.",
)
def analyze(model: str, **options: Any) -> int:
    """Measure every residual unit of MODEL and write report.html, result.json and units.csv.

    MODEL is a state dict (.pt, .pth, .th, .safetensors), an exported program (.pt2), or with --trust-pickle a
    whole pickled module.
    """
    command = (
        shlex.join(["diffeo-probe", "analyze", *sys.argv[2:]])
        if len(sys.argv) > 1
        else "diffeo-probe analyze"
    )
    return run_analysis(model, command=command, **options)


def run_analysis(
    model: str,
    *,
    command: str,
    arch: str | None,
    trust_pickle: bool,
    inputs: str,
    count: int | None,
    labels: str,
    preset: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    size: int | tuple[int, int] | None,
    units: tuple[str, ...],
    measures: str | None,
    budget: str,
    dtype: str,
    seed: int,
    workers: int | None,
    max_memory: float | None,
    out: str | None,
    overwrite: bool,
    fail_on: str,
    thresholds: str | None = None,
    baseline: str = "zero",
    recorded: tuple[str, str] | None = None,
) -> int:
    """Load, measure, judge, write; return the exit code.

    `recorded` stands in the result in place of the paths of model and inputs, where these are the package's own.
    """
    # what can be refused is refused before torch is loaded and anything is computed
    limits = thresholds_of(thresholds)
    folder = prepare_folder(out, Path(model), overwrite=overwrite) if out is not None else None
    from resnet_diffeo_probe.analysis.analyze import analyze as analyze_model
    from resnet_diffeo_probe.analysis.gate import INTERRUPTED, exit_code
    from resnet_diffeo_probe.analysis.plan import Plan, Settings
    from resnet_diffeo_probe.analysis.quantities import Budget
    from resnet_diffeo_probe.analysis.thresholds import require_units
    from resnet_diffeo_probe.attribution import Baseline
    from resnet_diffeo_probe.inputs import read_inputs
    from resnet_diffeo_probe.models import load

    settings = Settings(
        units=units,
        measures=tuple(m.strip() for m in measures.split(",")) if measures else (),
        budget=Budget(budget),
        dtype=dtype,
        seed=seed,
        workers=workers,
        max_bytes=None if max_memory is None else max_memory * 2**30,
        baseline=Baseline(baseline),
    )
    loaded = load(model, arch=arch, trust_pickle=trust_pickle)
    for note in loaded.notes:
        terminal.hint(note)
    preprocessing = preprocessing_of(loaded, preset, mean, std, size, images=inputs != "synthetic")
    batch = read_inputs(inputs, count=count, preprocessing=preprocessing, shape=loaded.input_shape, seed=seed)
    if recorded is not None:
        batch = replace(batch, source=recorded[1])
    if labels == "none":
        batch = replace(batch, labels=None, classes=None)
    for note in batch.notes:
        terminal.hint(note)
    for name, reason in batch.skipped[:_SKIPPED_SHOWN]:
        terminal.hint(f"skipped {name}: {reason}")
    if (more := len(batch.skipped) - _SKIPPED_SHOWN) > 0:
        terminal.hint(f"skipped {more} more files: the report lists them")
    if folder is None:
        folder = prepare_folder(None, Path(model), overwrite=overwrite)

    def announce(plan: Plan) -> None:
        require_units(limits, [planned.unit.name for planned in plan.units])
        click.echo(
            f"{terminal.printable(loaded.architecture)}: {len(plan.units)} residual units, "
            f"determinants of {sum(p.jacobian is not None for p in plan.units)} of them at "
            f"{len(batch.names)} input{'' if len(batch.names) == 1 else 's'}",
            err=True,
        )

    with terminal.progress_display() as show:
        analysis = analyze_model(
            loaded,
            batch,
            settings,
            command=command,
            configuration={
                "model": model if recorded is None else recorded[0],
                "arch": arch,
                "trust_pickle": trust_pickle,
                "inputs": inputs if recorded is None else recorded[1],
                "count": count,
                "labels": labels,
                "preset": preset,
                "mean": None if mean is None else list(mean),
                "std": None if std is None else list(std),
                "size": list(size) if isinstance(size, tuple) else size,
                "units": list(units),
                "measures": list(settings.quantities),
                "budget": budget,
                "dtype": dtype,
                "seed": seed,
                "baseline": baseline,
                "workers": settings.threads,
                "max_memory_gib": round(settings.memory / 2**30, 2),
                "thresholds": thresholds,
                "fail_on": fail_on,
            },
            thresholds=limits,
            progress=show.measured,
            planned=announce,
            proven=show.proven,
        )
    _write(analysis, folder)
    _tell(analysis, folder)
    if analysis.interrupted:
        terminal.hint("interrupted: the report holds what was measured until then")
        return INTERRUPTED
    return exit_code(analysis.result, fail_on, limits)


def _write(analysis: Analysis, folder: Path) -> None:
    from resnet_diffeo_probe.report import render, units_csv

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        analysis.save(folder / "result.json")
        pairs = folder / "witnesses"
        for stale in pairs.glob("*.npz"):  # of an earlier analysis in this folder
            stale.unlink()
        analysis.save_witnesses(pairs)
        (folder / "units.csv").write_text(units_csv(analysis.result), encoding="utf-8", newline="")
        render(analysis.result, path=folder / "report.html")


def _tell(analysis: Analysis, folder: Path) -> None:
    """Print the verdicts and where the report is: the results, and so to standard output."""
    if correct := analysis.result["inputs"]["accuracy"]:
        click.echo(
            f"accuracy on these inputs: {correct['correct']} of {correct['total']} "
            f"({correct['correct'] / correct['total']:.0%})"
        )
    of_units = [v for v in analysis.verdicts if v.unit is not None and v.map == "sum"]
    width = max((len(terminal.printable(str(v.unit))) for v in of_units), default=0)
    for verdict in of_units:
        name = terminal.printable(str(verdict.unit)).ljust(width)
        click.echo(f"{name}  {_STATES[verdict.state.value]:<22}  {terminal.printable(verdict.sentence)}")
    for verdict in analysis.verdicts:
        if verdict.unit is None:
            click.echo(terminal.printable(verdict.sentence))
    click.echo(f"report: {terminal.printable(str(folder / 'report.html'))}")


_STATES = {
    "certified_injective": "CERTIFIED INJECTIVE",
    "not_injective_proven": "NOT INJECTIVE (PROVEN)",
    "no_violation_found": "NO VIOLATION FOUND",
    "not_applicable": "NOT APPLICABLE",
    "undetermined": "UNDETERMINED",
    "not_run": "NOT RUN",
}
