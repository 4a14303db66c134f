"""`diffeo-probe spirals`: train, draw, integrate and certify the paper's four networks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredGroup
from resnet_diffeo_probe.errors import ConfigurationError

if TYPE_CHECKING:
    from resnet_diffeo_probe.flows.fields.setting import Setting
    from resnet_diffeo_probe.flows.training.training import EpochReport, Training
    from resnet_diffeo_probe.references.weights import TrainedNetworks

__all__ = ["spirals"]

Command = TypeVar("Command", bound=Callable[..., Any])

NETWORK = click.Choice(["a", "b", "c", "d"])
LINES = 20  # of progress where standard error is no terminal


@click.group(cls=ConfiguredGroup)
def spirals() -> None:
    """Train and examine the paper's four spiral networks.

    \b
    a  no shared weights               c  shared weights, inverse-consistent on the data
    b  shared weights                  d  shared weights, inverse-consistent on the domain
    """  # noqa: D301 - click's mark of a paragraph not to be wrapped is the character itself


@spirals.command()
@click.argument("network", type=NETWORK)
@click.option("--setting", default="reliable", show_default=True, help="reliable, or paper: its nearest one.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--seeds", default=1, show_default=True, help="Networks to train together.")
@click.option("--epochs", default=1000, show_default=True)
@click.option("--points", default=6000, show_default=True, help="Training points.")
@click.option("--steps", default=20, show_default=True, help="Residual units.")
@click.option("--width", default=10, show_default=True, help="Basis functions of the velocity field.")
@click.option("--out", type=click.Path(path_type=Path), help="Checkpoint; spirals_NETWORK.npz by default.")
@click.option("--overwrite", is_flag=True, help="Begin anew where the checkpoint exists.")
def train(network: str, seed: int, seeds: int, out: Path | None, overwrite: bool, **of_setting: Any) -> None:
    """Train one network; an interrupted training goes on from its last epoch with the same numbers."""
    from resnet_diffeo_probe.flows.fields.field import VelocityField
    from resnet_diffeo_probe.flows.integration.jacobian_map import determinant_map
    from resnet_diffeo_probe.flows.training.accuracy import held_out_accuracy
    from resnet_diffeo_probe.flows.training.checkpoint import load_training, save_training
    from resnet_diffeo_probe.flows.training.training import start_training
    from resnet_diffeo_probe.flows.training.training import train as run

    if seeds < 1:
        raise ConfigurationError(f"--seeds {seeds}", why="there is nothing to train", fix="--seeds 1")
    path = out or Path(f"spirals_{network}.npz")
    wanted = _setting(network, **of_setting)
    chosen = tuple(range(seed, seed + seeds))
    if path.exists() and not overwrite:
        training = load_training(path, wanted, chosen)
        terminal.hint(f"{path} holds {training.epoch} of {wanted.epochs} epochs; going on from there")
    else:
        training = start_training(wanted, chosen)
        save_training(
            training, path
        )  # a folder that cannot be written to is better known before the training
    try:
        with _progress(training, wanted.epochs) as after_epoch:
            run(training, after_epoch=after_epoch)
    finally:
        save_training(training, path)
    accuracy = held_out_accuracy(training)
    map_ = determinant_map(VelocityField(training.parameters.astype(float)), wanted.spirals.radius)
    click.echo("network  seed  held-out accuracy  Jmin      Jmax")
    for row, number in enumerate(chosen):
        click.echo(
            f"{network:7}  {number:4}  {100 * accuracy[row]:15.2f} %  {map_.least[row]:8.3f}  {map_.greatest[row]:.3f}"
        )


def _setting(network: str, *, setting: str, epochs: int, points: int, steps: int, width: int) -> Setting:
    from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
    from resnet_diffeo_probe.flows.fields.setting import setting_named

    architecture = PlaneNetwork(steps=steps, widths=(width,))
    return setting_named(setting, network, architecture=architecture, epochs=epochs, points=points)


@contextmanager
def _progress(training: Training, epochs: int) -> Iterator[Callable[[Training, EpochReport], None]]:
    """Show a bar on a terminal, elsewhere a line every twentieth of the way."""
    if not sys.stderr.isatty():
        every = max(1, epochs // LINES)

        def line(state: Training, report: EpochReport) -> None:
            if state.epoch % every == 0 or state.epoch == epochs:
                click.echo(
                    f"epoch {state.epoch}/{epochs}: accuracy {100 * report.accuracy.mean():.2f} %, "
                    f"cross-entropy {report.cross_entropy.mean():.4f}",
                    err=True,
                )

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(
        console=Console(stderr=True, no_color="NO_COLOR" in os.environ or None), transient=True
    ) as bar:
        task = bar.add_task("training", total=epochs, completed=training.epoch)

        def show(state: Training, report: EpochReport) -> None:
            words = f"accuracy {100 * report.accuracy.mean():6.2f} %"
            bar.update(task, completed=state.epoch, description=words)

        yield show


@spirals.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("spirals-report"),
    show_default=True,
    help="Folder for report.html and result.json.",
)
def figures(out: Path) -> None:
    """Remake the paper's figures, tables and studies from the shipped networks."""
    from resnet_diffeo_probe.references.paper.page import write_report

    terminal.hint("integrating the shipped networks with other steps and schemes; this takes some minutes")
    for path in write_report(out):
        click.echo(str(path))


def _trained_options(command: Command) -> Command:
    """Add the options that choose a trained network."""
    options = (
        click.option("--network", type=NETWORK, help="One of the shipped networks."),
        click.option("--setting", default="reliable", show_default=True, help="Of the shipped networks."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--checkpoint", type=click.Path(path_type=Path), help="A training of your own instead."),
        click.option("--json", is_flag=True, help="Print JSON."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _trained(network: str | None, setting: str, seed: int, checkpoint: Path | None) -> TrainedNetworks:
    """Return the one trained network that the options name."""
    from resnet_diffeo_probe.flows.training.checkpoint import load_training
    from resnet_diffeo_probe.references.weights import TrainedNetworks, shipped_weights

    if (network is None) == (checkpoint is None):
        raise ConfigurationError(
            "which network?", why="give either --network or --checkpoint", fix="--network d --seed 0"
        )
    if checkpoint is not None:
        training = load_training(checkpoint)
        found = TrainedNetworks(training.setting, training.seeds, training.parameters)
    else:
        found = shipped_weights(setting, str(network))
    if seed not in found.seeds:
        listed = ", ".join(str(s) for s in found.seeds)
        raise ConfigurationError(f"no seed {seed}", fix=f"choose one of: {listed}", code="unknown-seed")
    row = found.seeds.index(seed)
    return TrainedNetworks(found.setting, (seed,), found.parameters.select([row]))


@spirals.command()
@_trained_options
def flow(network: str | None, setting: str, seed: int, checkpoint: Path | None, json: bool) -> None:
    """Integrate a trained field with other steps and schemes: is the network its own flow?"""
    from resnet_diffeo_probe.flows.studies.step_study import step_rows

    found = _trained(network, setting, seed, checkpoint)
    rows = step_rows(found.setting, found.parameters, found.seeds)
    if json:
        click.echo(dumps(rows, allow_nan=False))
        return
    click.echo("scheme             steps  accuracy  agreement  least det J")
    for row in rows:
        least = row["determinant_least"]
        click.echo(
            f"{row['scheme']:17}  {row['steps']:5}  {row['accuracy']:8.4f}  {row['agreement']:9.4f}  "
            f"{'not finite' if least is None else f'{least:11.4f}'}"
        )


@spirals.command()
@_trained_options
@click.option("--radius", type=float, help="Half side of the square; the spirals' R by default.")
@click.option("--boxes", default=400_000, show_default=True, help="Boxes to examine at most.")
def certify(
    network: str | None,
    setting: str,
    seed: int,
    checkpoint: Path | None,
    json: bool,
    radius: float | None,
    boxes: int,
) -> None:
    """Prove that a trained map is a diffeomorphism of the square onto its image, or that it is not injective."""
    from resnet_diffeo_probe.flows.certification.certify import certify as prove

    found = _trained(network, setting, seed, checkpoint)
    size = found.setting.spirals.radius if radius is None else radius
    certificate = prove(found.parameters.astype(float), size, most_boxes=boxes)
    if json:
        click.echo(dumps(certificate.to_json(), allow_nan=False))
        return
    click.echo(f"{certificate.verdict.value} on [-{size:g}, {size:g}]^2: {certificate.reason}")
    if certificate.witness is not None:
        for point, word in zip(certificate.witness.tolist(), ("> 0", "< 0"), strict=True):
            click.echo(f"det J {word} at ({point[0]!r}, {point[1]!r})")
    if (pair := certificate.collision) is not None:
        click.echo(
            f"one image: ({float(pair.first[0])!r}, {float(pair.first[1])!r}) and a point within {pair.radius:g} of "
            f"({float(pair.second[0])!r}, {float(pair.second[1])!r})"
        )
    click.echo(f"{certificate.boxes} boxes; float64 with bounded rounding")
