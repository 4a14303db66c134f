"""`diffeo-probe analyze`."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import GATES, PATH, Words, model_options, preprocessing_options
from diffeo_probe.running.analysis import run_analysis
from diffeo_probe.running.analysis_options import AnalysisOptions
from diffeo_probe.running.workers import workforce_options

__all__ = ["analyze"]


@click.command(cls=ConfiguredCommand, short_help="Measure every residual unit of MODEL and write the report.")
@click.argument("model", type=PATH)
@model_options
@click.option(
    "--inputs",
    type=PATH,
    default=AnalysisOptions.inputs,
    show_default=True,
    help="A folder of images, an image, a .npy/.pt tensor, or 'synthetic'.",
)
@click.option(
    "-n", "--count", type=click.IntRange(min=1), help="How many inputs, evenly spaced over the sorted paths."
)
@click.option(
    "--labels",
    type=click.Choice(["folders", "none"]),
    default=AnalysisOptions.labels,
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
    default=AnalysisOptions.budget,
    show_default=True,
    help="quick: determinants. standard: also the spectrum, witnesses, certificates, the refinement test. "
    "full: also the exact inverse and a certified radius at every input.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default=AnalysisOptions.dtype,
    show_default=True,
    help="Arithmetic of every measure.",
)
@click.option(
    "--device",
    default=AnalysisOptions.device,
    show_default=True,
    metavar="DEVICE",
    help="Where Jacobians are eliminated: cpu, cuda, cuda:N, or auto for a GPU where there is one.",
)
@click.option(
    "--seed",
    type=int,
    default=AnalysisOptions.seed,
    show_default=True,
    help="Of synthetic inputs and of the random vectors that the measures use.",
)
@click.option(
    "--baseline",
    type=click.Choice(["zero", "black"]),
    default=AnalysisOptions.baseline,
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
    default=AnalysisOptions.fail_on,
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
    return run_analysis(model, AnalysisOptions.of(options), command=command)
