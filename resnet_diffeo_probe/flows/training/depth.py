"""Coarse-to-fine training in depth: train few steps, split each in two, go on (section 5.2)."""

from __future__ import annotations

import dataclasses

import numpy as np

from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.fields.setting import Setting

__all__ = ["depth_at", "split_steps"]


def split_steps(parameters: Parameters) -> Parameters:
    """Return networks of twice the steps, each half as long, of the same velocity fields.

    The last layer of a field has no bias, so that halving its kernel halves the step.
    """
    architecture = dataclasses.replace(parameters.architecture, steps=2 * parameters.architecture.steps)
    finer = Parameters.zeros(architecture, parameters.seeds, parameters.flat.dtype)
    times = architecture.fields // parameters.architecture.fields
    for depth, (after, before) in enumerate(zip(finer.kernels, parameters.kernels, strict=True)):
        factor = 0.5 if depth == len(finer.kernels) - 1 else 1.0
        after[...] = np.repeat(before, times, axis=1) * factor
    finer.readout[...] = parameters.readout
    return finer


def depth_at(setting: Setting, epoch: int) -> PlaneNetwork:
    """Return the architecture that is trained in that epoch; the depths share the epochs equally."""
    depths = (*setting.coarse_to_fine, setting.architecture.steps)
    stage = min(epoch * len(depths) // setting.epochs, len(depths) - 1)
    return dataclasses.replace(setting.architecture, steps=depths[stage])
