"""Train many seeds of a network at once with Adam, epoch by epoch, so that it can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.chance import Purpose, source
from resnet_diffeo_probe.flows.fields.parameters import Parameters, glorot_uniform
from resnet_diffeo_probe.flows.fields.setting import Setting
from resnet_diffeo_probe.flows.fields.spirals import draw_spirals
from resnet_diffeo_probe.flows.training.closed_form import LossParts, Workspace, loss_and_gradient
from resnet_diffeo_probe.flows.training.depth import depth_at, split_steps

__all__ = ["EpochReport", "Training", "draw_training_data", "start_training", "train"]

ADAM_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What happened in an epoch, one number a seed, means over its minibatches."""

    epoch: int
    cross_entropy: NDArray[np.float64]
    penalty: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(slots=True)
class Training:
    """The whole state of a training after a whole number of epochs.

    Attributes:
        setting: what is trained.
        seeds: one a network, in the order of the rows.
        epoch: epochs done.
        parameters: the weights, float32.
        mean: Adam's first moment.
        square: Adam's second moment.
        updates: steps of Adam since its moments were zero.
        history: one row [cross-entropy, penalty, accuracy] a seed an epoch, (epochs done, 3, S).
    """

    setting: Setting
    seeds: tuple[int, ...]
    epoch: int
    parameters: Parameters
    mean: NDArray[np.float32]
    square: NDArray[np.float32]
    updates: int
    history: NDArray[np.float32]


def start_training(setting: Setting, seeds: Sequence[int]) -> Training:
    """Return an untrained state.

    Args:
        setting: what to train.
        seeds: different non-negative numbers; each decides its network's weights, data and minibatches.

    Raises:
        ConfigurationError: no seed, or the same one twice.
    """
    if not seeds:
        raise ConfigurationError("no seed to train", fix="give at least one")
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ConfigurationError(f"seeds {list(seeds)}", why="they must differ and not be negative")
    architecture = depth_at(setting, 0)
    rngs = [source(Purpose.WEIGHTS, seed) for seed in seeds]
    parameters = glorot_uniform(architecture, rngs, gain=setting.gain)
    zeros = np.zeros_like(parameters.flat, dtype=np.float32)
    history = np.zeros((0, 3, len(seeds)), dtype=np.float32)
    return Training(setting, tuple(seeds), 0, parameters, zeros, zeros.copy(), 0, history)


def draw_training_data(
    setting: Setting,
    seeds: Sequence[int],
    purpose: Purpose = Purpose.TRAINING_DATA,
    points: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw each seed's own points, (S, 2, N), and labels, (S, N), float32."""
    count = setting.points if points is None else points
    drawn = [draw_spirals(setting.spirals, count, source(purpose, seed)) for seed in seeds]
    return (
        np.stack([x for x, _ in drawn]).astype(np.float32),
        np.stack([y for _, y in drawn]).astype(np.float32),
    )


def train(
    training: Training,
    *,
    until: int | None = None,
    after_epoch: Callable[[Training, EpochReport], None] | None = None,
) -> Training:
    """Train on until an epoch is reached, changing `training` in place after every whole epoch only.

    An interruption (any exception) therefore leaves the state of the last whole epoch, from which a later
    call goes on with the numbers of an uninterrupted one.

    Args:
        training: the state to go on from.
        until: epoch to stop at; the setting's by default.
        after_epoch: called after every epoch with the state and a report: progress, saving.

    Returns:
        The same object.
    """
    setting = training.setting
    points, labels = draw_training_data(setting, training.seeds)
    workspace = Workspace()
    end = setting.epochs if until is None else min(until, setting.epochs)
    while training.epoch < end:
        split_if_due(training)
        working = _copy(training)
        report = _run_epoch(working, points, labels, workspace)
        # one assignment after another of finished arrays; the epoch number last, so that it is never ahead
        training.parameters, training.mean, training.square = working.parameters, working.mean, working.square
        training.updates, training.history = working.updates, working.history
        training.epoch = working.epoch
        if after_epoch is not None:
            after_epoch(training, report)
    return training


def split_if_due(training: Training) -> None:
    """Split every step in two when coarse-to-fine training reaches the next depth (section 5.2)."""
    due = depth_at(training.setting, training.epoch)
    while training.parameters.architecture.steps < due.steps:
        training.parameters = split_steps(training.parameters)
        # the moments belong to weights of another scale: Adam begins anew
        training.mean = np.zeros_like(training.parameters.flat, dtype=np.float32)
        training.square = np.zeros_like(training.mean)
        training.updates = 0


def _copy(training: Training) -> Training:
    return Training(
        training.setting,
        training.seeds,
        training.epoch,
        training.parameters.astype(np.float32),
        training.mean.copy(),
        training.square.copy(),
        training.updates,
        training.history,
    )


def _run_epoch(
    training: Training, points: NDArray[np.float32], labels: NDArray[np.float32], workspace: Workspace
) -> EpochReport:
    setting = training.setting
    batches = setting.points // setting.minibatch
    order, domain = _draw_epoch(training, batches)
    points = np.take_along_axis(points, order[:, None, :], axis=2)
    labels = np.take_along_axis(labels, order, axis=1)
    gradient = Parameters.zeros(training.parameters.architecture, len(training.seeds))
    decay = 2.0 * setting.decay * training.parameters.kernel_mask()
    sums = np.zeros((3, len(training.seeds)))
    for batch in range(batches):
        part = slice(batch * setting.minibatch, (batch + 1) * setting.minibatch)
        x, y = np.ascontiguousarray(points[:, :, part]), np.ascontiguousarray(labels[:, part])
        parts = _gradient(training, gradient, x, y, None if domain is None else domain[:, batch], workspace)
        gradient.flat[...] += decay * training.parameters.flat
        _adam(training, gradient.flat)
        sums += parts.cross_entropy, parts.penalty, parts.correct
    sums /= batches
    training.epoch += 1
    training.history = np.concatenate([training.history, sums[None].astype(np.float32)])
    return EpochReport(training.epoch, *sums)


def _draw_epoch(training: Training, batches: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """Draw every seed's order of the points, (S, N), and its points of the domain, (S, batches, 2, B')."""
    setting = training.setting
    orders, domains = [], []
    size = setting.spirals.radius
    for seed in training.seeds:
        rng = source(Purpose.EPOCH, seed, training.epoch)
        orders.append(rng.permutation(setting.points))
        if setting.penalty == "domain":
            drawn = rng.random((batches, PLANE, setting.domain_points), dtype=np.float32)
            domains.append((2 * drawn - 1) * np.float32(size))
    return np.stack(orders), np.stack(domains) if domains else None


def _gradient(
    training: Training,
    gradient: Parameters,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    domain: NDArray[np.float32] | None,
    workspace: Workspace,
) -> LossParts:
    """Write the minibatch's gradient; only the prior of section 3.3 needs autograd for its part."""
    setting = training.setting
    parts = loss_and_gradient(
        training.parameters,
        gradient,
        x,
        y,
        penalty=setting.penalty,
        weight=setting.penalty_weight,
        domain=domain,
        workspace=workspace,
    )
    if setting.gradient_prior:
        from resnet_diffeo_probe.flows.training.autograd import prior_gradient  # noqa: PLC0415 - torch only when it is asked for

        gradient.flat[...] += setting.gradient_prior * prior_gradient(training.parameters, x)
    return parts


def _adam(training: Training, gradient: NDArray[Any]) -> None:
    """Take one step of Adam (the paper's reference [14]), in place."""
    setting = training.setting
    first, second = setting.betas
    training.updates += 1
    training.mean *= np.float32(first)
    training.mean += np.float32(1 - first) * gradient
    training.square *= np.float32(second)
    training.square += np.float32(1 - second) * gradient * gradient
    scale = np.sqrt(1 - second**training.updates)
    step = np.float32(setting.rate * scale / (1 - first**training.updates))
    training.parameters.flat[...] -= (
        step * training.mean / (np.sqrt(training.square) + np.float32(ADAM_EPSILON * scale))
    )
