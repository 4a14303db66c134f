"""The networks that are measured: trained ones from files, the one that ships, and torchvision's with random weights.

A trained network is given as `--weights` and its images as `--images`, as CIFAR's are. Trained ImageNet weights are not
part of this repository. With freshly made batch norms a random network's activations grow or die with depth, and with
them the share of active units that decides what an elimination costs. So one batch of images goes through in training
mode first: every batch norm then holds the mean and variance of what it really meets, as in a trained network, and
about half of the units are active.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.demo import demo_paths
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, read_inputs
from resnet_diffeo_probe.models import LoadedModel, load
from resnet_diffeo_probe.units import Discovery, ResidualUnit, discover

__all__ = ["Trained", "calibrate", "images", "loaded", "network_options", "trained", "unit_inputs"]

# the statistics that the usual CIFAR weights were trained with
_CIFAR = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)

_CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class Trained:
    """A trained network with its images.

    Attributes:
        model: as the file was read, in its own arithmetic.
        inputs: preprocessed images.
        discovery: of the network in float64.
    """

    model: LoadedModel
    inputs: Inputs
    discovery: Discovery

    @property
    def units(self) -> list[ResidualUnit]:
        """The identity units, in network order, in float64."""
        return [unit for unit in self.discovery.units if unit.preserves_dimension]

    def unit_inputs(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield each image's name and the inputs (1, *shape) of all units at it, by unit, in float64."""
        for index, name in enumerate(self.inputs.names):
            _, seen = self.discovery.run(self.inputs.tensor[index : index + 1].double())
            yield name, {unit: activation.input for unit, activation in seen.items()}


def network_options(description: str | None, *, count: int) -> argparse.ArgumentParser:
    """Return a parser of `--weights`, `--images`, `--count` and `--out`.

    Args:
        description: the docstring of the benchmark.
        count: how many images it takes unless told.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="a CIFAR network")
    parser.add_argument("--images", type=Path, required=True, help="a folder of CIFAR images")
    parser.add_argument("--count", type=int, default=count, help=f"images ({count})")
    parser.add_argument("--out", type=Path, help="JSON file for all rows")
    return parser


def trained(options: argparse.Namespace) -> Trained:
    """Load what `network_options` names."""
    return loaded(options.weights, options.images, options.count)


def loaded(weights: Path | None, images: Path | None, count: int) -> Trained:
    """Load a CIFAR network and its images; in place of what is not named, those that ship with the package."""
    demo = demo_paths()
    shipped = Preprocessing(mean=demo.mean, std=demo.std, size=demo.size)
    model = load(weights or demo.model)
    inputs = read_inputs(
        images or demo.inputs,
        count=count,
        preprocessing=_CIFAR if images else shipped,
        shape=model.input_shape,
    )
    discovery = discover(model.module, inputs.tensor[:1]).to(dtype=torch.float64)
    return Trained(model, inputs, discovery)


def images(count: int, size: int, *, seed: int = 0, channels: int = 3) -> Tensor:
    """Return (count, channels, size, size) images whose spectrum falls as 1/f, as that of photographs does."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, channels, size, size, generator=generator)
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)[None, :])
    spectrum = torch.fft.fft2(noise) / frequency.clamp(min=1 / size)
    smooth = torch.fft.ifft2(spectrum).real
    return smooth / smooth.std(dim=(1, 2, 3), keepdim=True)


def calibrate(network: nn.Module, batch: Tensor) -> nn.Module:
    """Return the network in eval mode, its batch norms with the statistics of a batch."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average over all batches seen
    network.train()
    with torch.no_grad():
        network(batch)
    return network.eval()


def unit_inputs(
    make: Callable[[], nn.Module], size: int, *, seed: int = 0
) -> tuple[Discovery, list[tuple[ResidualUnit, Tensor]]]:
    """Return a network's discovery in float64 and its identity units, each with its input at one image.

    Args:
        make: builds the network; called under a seed.
        size: of the square images.
        seed: of weights and images.
    """
    torch.manual_seed(seed)
    network = calibrate(make(), images(_CALIBRATION_IMAGES, size, seed=seed + 1))
    image = images(1, size, seed=seed + 2)
    found = discover(network, image).to(dtype=torch.float64)
    _, seen = found.run(image.double())
    return found, [(u, seen[u.name].input.clone()) for u in found.units if u.preserves_dimension]
