"""`diffeo-probe analyze`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import (
    GATES,
    PATH,
    Words,
    model_options,
    preprocessing_of,
    preprocessing_options,
    thresholds_of,
)
from diffeo_probe.running.folder import Earlier, prepare_folder
from diffeo_probe.running.interruption import patient_stop
from diffeo_probe.running.results import reuse_in_words, tell, write
from diffeo_probe.running.run_record import Log, Observer, taken_in_words, write_run
from diffeo_probe.running.workers import Workforce, executor_for, workforce_options
from resnet_diffeo_probe import __version__

if TYPE_CHECKING:
    from resnet_diffeo_probe.inputs import Inputs, Preprocessing
    from resnet_diffeo_probe.models import LoadedModel

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
    "--device",
    default="cpu",
    show_default=True,
    metavar="DEVICE",
    help="Where Jacobians are eliminated: cpu, cuda, cuda:N, or auto for a GPU where there is one.",
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
@workforce_options
@click.option(
    "--max-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Memory that all factors held at one time may take; default: three quarters of the machine's.",
)
@click.option("--out", type=PATH, help="Output folder; default: a new one named after the model.")
@click.option("--overwrite", is_flag=True, help="Replace the results in --out; what was measured is lost.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on in the --out of a run that was interrupted: what it measured is not measured again.",
)
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

    Every measurement is committed to measurements.sqlite as it is made. Ctrl-C once finishes those in progress and
    writes the report of what there is; twice stops at once. Either way, --resume goes on.

    MODEL is a state dict (.pt, .pth, .th, .safetensors), an exported program (.pt2), or with --trust-pickle a
    whole pickled module.
    """
    command = (
        shlex.join(["diffeo-probe", "analyze", *sys.argv[2:]])
        if len(sys.argv) > 1
        else "diffeo-probe analyze"
    )
    return run_analysis(model, command=command, workforce=Workforce.taken_from(options), **options)


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
    workforce: Workforce,
    max_memory: float | None,
    out: str | None,
    overwrite: bool,
    fail_on: str,
    resume: bool = False,
    thresholds: str | None = None,
    baseline: str = "zero",
    device: str = "cpu",
    recorded: tuple[str, str] | None = None,
) -> int:
    """Load, measure, judge, write; return the exit code.

    `recorded` stands in the result in place of the paths of model and inputs, where these are the package's own.
    """
    # what can be refused is refused before torch is loaded and anything is computed
    limits = thresholds_of(thresholds)
    earlier = Earlier.of(out, resume=resume, overwrite=overwrite)
    folder = prepare_folder(out, Path(model), earlier) if out is not None else None
    from resnet_diffeo_probe.analysis.analyze import analyze as analyze_model
    from resnet_diffeo_probe.analysis.comparing.gate import INTERRUPTED, exit_code
    from resnet_diffeo_probe.analysis.comparing.thresholds import require_units
    from resnet_diffeo_probe.analysis.planning.plan import Plan
    from resnet_diffeo_probe.analysis.planning.quantities import Budget
    from resnet_diffeo_probe.analysis.planning.settings import Settings
    from resnet_diffeo_probe.analysis.store.store import Store
    from resnet_diffeo_probe.attribution import Baseline
    from resnet_diffeo_probe.models import load

    settings = Settings(
        units=units,
        measures=tuple(m.strip() for m in measures.split(",")) if measures else (),
        budget=Budget(budget),
        dtype=dtype,
        seed=seed,
        workers=workforce.workers,
        threads_per_worker=workforce.threads_per_worker or 1,
        max_bytes=None if max_memory is None else max_memory * 2**30,
        baseline=Baseline(baseline),
        device=device,
    )
    loaded = load(model, arch=arch, trust_pickle=trust_pickle)
    for note in loaded.notes:
        terminal.hint(note)
    preprocessing = preprocessing_of(loaded, preset, mean, std, size, images=inputs != "synthetic")
    batch = _read(loaded, inputs, count, preprocessing, seed)
    if recorded is not None:
        batch = replace(batch, source=recorded[1])
    if labels == "none":
        batch = replace(batch, labels=None, classes=None)
    _tell_of_inputs(batch)
    if folder is None:
        folder = prepare_folder(None, Path(model), earlier)

    options = {
        "model": model,
        "arch": arch,
        "inputs": inputs,
        "count": count,
        "labels": labels,
        "preset": preset,
        "mean": None if mean is None else list(mean),
        "std": None if std is None else list(std),
        "size": list(size) if isinstance(size, tuple) else size,
        "units": list(units),
        "budget": budget,
        "dtype": dtype,
        "device": device,
        "seed": seed,
        "baseline": baseline,
        "thresholds": thresholds,
        "fail_on": fail_on,
    }
    with (
        Store(folder, resume=resume, replace=overwrite) as store,
        Log(folder) as log,
        terminal.progress_display() as show,
    ):
        seen = Observer(show, log)

        def announce(plan: Plan) -> None:
            require_units(limits, [planned.unit.name for planned in plan.units])
            about = (
                f"{loaded.architecture}: {len(plan.units)} residual units, "
                f"determinants of {sum(p.jacobian is not None for p in plan.units)} of them at "
                f"{len(batch.names)} input{'' if len(batch.names) == 1 else 's'}"
            )
            click.echo(terminal.printable(about), err=True)
            # from here on the folder is this process's own
            store.hold()
            log.line(f"diffeo-probe {__version__}: {command}")
            log.line(about)
            if recorded is None:
                # consent to run a file's code is given by whoever runs it, and not by a file
                as_typed = {"measures": measures, "max_memory": max_memory, **workforce.given()}
                write_run(options | as_typed, folder)

        analysis = analyze_model(
            loaded,
            batch,
            settings,
            command=command,
            configuration=options
            | workforce.given()
            | {
                "trust_pickle": trust_pickle,
                "measures": list(settings.quantities),
                "workers": settings.threads,
                "max_memory_gib": round(settings.memory / 2**30, 2),
            }
            | ({} if recorded is None else {"model": recorded[0], "inputs": recorded[1]}),
            thresholds=limits,
            executor=executor_for(
                workforce, loaded, batch, arch=arch, trust_pickle=trust_pickle, tell=seen.note
            ),
            store=store,
            stop=patient_stop(log),
            progress=seen.measured,
            planned=announce,
            stale=seen.stale,
            proven=seen.proven,
            taken=seen.taken,
            again=seen.again,
        )
        if resume:
            seen.note(reuse_in_words(analysis.reuse))
            seen.note(taken_in_words(analysis.step_reuse))
        write(analysis, folder)
        code = INTERRUPTED if analysis.interrupted else exit_code(analysis.result, fail_on, limits)
        log.line(f"{'interrupted' if analysis.interrupted else 'done'}: exit code {code}")
    tell(analysis, folder)
    if analysis.interrupted:
        left_out = analysis.result["left_out"]
        without = f", without {', '.join(left_out)}" if left_out else ""
        terminal.hint(
            f"interrupted: the report holds what was measured until then{without}; "
            f"--out {folder} --resume goes on from there"
        )
    return code


def _read(
    loaded: LoadedModel, inputs: str, count: int | None, preprocessing: Preprocessing, seed: int
) -> Inputs:
    from resnet_diffeo_probe.inputs import read_inputs

    with terminal.counting("images looked at") as listed:
        return read_inputs(
            inputs,
            count=count,
            preprocessing=preprocessing,
            shape=loaded.input_shape,
            seed=seed,
            listed=listed,
        )


def _tell_of_inputs(batch: Inputs) -> None:
    for note in batch.notes:
        terminal.hint(note)
    for name, reason in batch.skipped[:_SKIPPED_SHOWN]:
        terminal.hint(f"skipped {name}: {reason}")
    if (more := len(batch.skipped) - _SKIPPED_SHOWN) > 0:
        terminal.hint(f"skipped {more} more files: the report lists them")
