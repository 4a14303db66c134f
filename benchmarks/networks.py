"""Networks of torchvision with random weights and honest batch-norm statistics, for measurements of size and speed.

Trained ImageNet weights are not part of this repository. With freshly made batch norms a random network's activations
grow or die with depth, and with them the share of active units that decides what an elimination costs. So one batch of
images goes through in training mode first: every batch norm then holds the mean and variance of what it really meets,
as in a trained network, and about half of the units are active.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.units import Discovery, ResidualUnit, discover

__all__ = ["calibrate", "images", "unit_inputs"]

_CALIBRATION_IMAGES = 4


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
