"""`diffeo-probe demo`."""

from __future__ import annotations

import click

from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import PATH
from diffeo_probe.running.analysis import run_analysis
from diffeo_probe.running.analysis_options import AnalysisOptions

__all__ = ["demo"]


@click.command(
    cls=ConfiguredCommand, short_help="The whole way on a small network that ships with the package."
)
@click.option(
    "--out",
    type=PATH,
    default="diffeo-probe-demo",
    show_default=True,
    help="Output folder; results in it are replaced.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of the random vectors that the measures use.",
)
def demo(out: str, seed: int) -> int:
    """Analyse a small ResNet trained on handwritten digits, at 32 digits that it was not trained on.

    The network and the digits ship with the package and go the same way as a model and images of yours.
    """
    from resnet_diffeo_probe.demo import demo_paths

    paths = demo_paths()
    options = AnalysisOptions(
        arch=paths.arch,
        inputs=str(paths.inputs),
        mean=paths.mean,
        std=paths.std,
        size=paths.size,
        seed=seed,
        out=out,
        overwrite=True,
    )
    return run_analysis(
        str(paths.model),
        options,
        command=f"diffeo-probe demo --seed {seed}",
        # where the package is installed is nobody's business in a report that may be passed on
        recorded=(paths.model.name, "the digits that ship with the package"),
    )
