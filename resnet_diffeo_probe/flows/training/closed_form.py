"""The training loss and its gradient in closed form, for many networks at once, on numpy.

Backpropagation through a chain of two-layer fields is a handful of matrix products; written out, with the
sample index last and into memory that is kept between minibatches, it is many times faster than an automatic
differentiation that has to find them. The tests hold it against autograd
(`resnet_diffeo_probe.flows.training.autograd`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.activations import activation_named
from resnet_diffeo_probe.flows.fields.architecture import PLANE
from resnet_diffeo_probe.flows.fields.parameters import Parameters

__all__ = ["LossParts", "Workspace", "loss_and_gradient"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class LossParts:
    """What the minibatch's loss is made of, one number a seed, without the weight decay.

    Attributes:
        cross_entropy: (S,), mean over the minibatch.
        penalty: (S,), mean of ||x - phi(-1) phi(1) x||^2, not yet weighted; zeros where there is none.
        correct: (S,), share of the minibatch classified rightly.
    """

    cross_entropy: Array
    penalty: Array
    correct: Array


@dataclass(slots=True)
class Workspace:
    """Arrays that are used again by the next minibatch: fresh memory costs more than the arithmetic on it."""

    held: dict[Hashable, Array] = field(default_factory=dict)

    def take(self, key: Hashable, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return the array kept under that key, its old content included; ones when it is new."""
        array = self.held.get(key)
        if array is None or array.shape != shape or array.dtype != dtype:
            # ones, because the row under each layer's input stays 1: it carries the bias
            array = self.held[key] = np.ones(shape, dtype=dtype)
        return array


def loss_and_gradient(
    parameters: Parameters,
    gradient: Parameters,
    points: Array,
    labels: Array,
    *,
    penalty: str = "none",
    weight: float = 0.0,
    domain: Array | None = None,
    workspace: Workspace | None = None,
) -> LossParts:
    """Write the gradient of the mean cross-entropy plus the weighted inverse-consistency penalty.

    The forward map is the network's Euler steps, phi(1); the backward map phi(-1) takes the same fields in
    reverse order with steps of the opposite sign (eq. 9), and the penalty is eq. 10 averaged over its points.

    Args:
        parameters: S networks.
        gradient: of the same shape; overwritten.
        points: (S, 2, B) minibatches.
        labels: (S, B), 0 or 1.
        penalty: where the penalty is taken: "none", "data" (on `points`) or "domain" (on `domain`).
        weight: lambda of eq. 10.
        domain: (S, 2, B') points for the domain penalty.
        workspace: memory to use again; give the same one to every call of a training.

    Returns:
        The parts of the loss.

    Raises:
        ValueError: the domain penalty without domain points.
    """
    architecture = parameters.architecture
    workspace = Workspace() if workspace is None else workspace
    batch = points.shape[2]
    if penalty == "domain" and domain is None:
        raise ValueError("the domain penalty needs domain points")
    count = batch + (domain.shape[2] if domain is not None and penalty == "domain" else 0)
    penalised = {"none": slice(0, 0), "data": slice(0, batch), "domain": slice(batch, count)}[penalty]
    gradient.flat[...] = 0

    order = [step % architecture.fields for step in range(architecture.steps)]
    forth = _Chain(parameters, workspace, "forth", 1, order)
    start = forth.start(count)
    start[:, :, :batch] = points
    if domain is not None and penalty == "domain":
        start[:, :, batch:] = domain
    end = forth.forward()

    data_end = end[:, :, :batch]
    logits = np.matmul(parameters.readout[:, :, :PLANE], data_end) + parameters.readout[:, :, PLANE:]
    cross_entropy, delta, correct = _cross_entropy(logits[:, 0], labels)
    gradient.readout[:, 0, :PLANE] = np.matmul(data_end, delta[:, :, None])[:, :, 0]
    gradient.readout[:, 0, PLANE] = delta.sum(axis=1)
    g = workspace.take("g", end.shape, parameters.flat.dtype)
    g[:, :, batch:] = 0
    np.multiply(parameters.readout[:, 0, :PLANE, None], delta[:, None, :], out=g[:, :, :batch])

    penalty_value = np.zeros_like(cross_entropy)
    if penalty != "none":
        back = _Chain(parameters, workspace, "back", -1, order[::-1])
        back.start(penalised.stop - penalised.start)[...] = end[:, :, penalised]
        miss = back.forward()
        miss -= start[:, :, penalised]
        penalty_value = np.einsum("sdb,sdb->s", miss, miss) / miss.shape[2]
        miss *= miss.dtype.type(2.0 * weight / miss.shape[2])
        back.backward(miss, gradient)
        g[:, :, penalised] += miss
    forth.backward(g, gradient)
    return LossParts(cross_entropy, penalty_value, correct)


def _cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return the mean cross-entropy (S,), its derivative by the logits (S, B) and the accuracy (S,)."""
    batch = logits.shape[1]
    small = np.exp(-np.abs(logits))
    loss = np.maximum(logits, 0) - logits * labels + np.log1p(small)
    sigmoid = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    delta = (sigmoid - labels) / logits.dtype.type(batch)
    return loss.mean(axis=1), delta, ((logits > 0) == (labels > 0.5)).mean(axis=1)


@dataclass(slots=True)
class _Chain:
    """A sequence of steps x -> x +- F(x) of S networks, forwards and backwards through it."""

    parameters: Parameters
    workspace: Workspace
    name: str
    sign: int
    order: list[int]

    def _inputs(self, step: int, depth: int, rows: int, batch: int) -> Array:
        """Return where the input of one layer is kept, with a row for the bias where the layer has one."""
        p = self.parameters
        hidden = depth < len(p.kernels) - 1
        rows += int(p.architecture.bias and hidden)
        return self.workspace.take((self.name, step, depth), (p.seeds, rows, batch), p.flat.dtype)

    def start(self, batch: int) -> Array:
        """Return the (S, 2, batch) array to write the starting points to."""
        return self._inputs(0, 0, PLANE, batch)[:, :PLANE]

    def forward(self) -> Array:
        """Take all steps from `start` and return the end, (S, 2, batch)."""
        p = self.parameters
        activation = activation_named(p.architecture.activation)
        for step, which in enumerate(self.order):
            rows = self.workspace.held[self.name, step, 0]
            batch = rows.shape[2]
            state = rows[:, :PLANE]
            for depth, kernel in enumerate(p.kernels[:-1]):
                width = kernel.shape[2]
                after = self._inputs(step, depth + 1, width, batch)
                output = after[:, :width]
                activation.apply(np.matmul(kernel[:, which], rows, out=output), output)
                rows = after
            following = self._inputs(step + 1, 0, PLANE, batch)[:, :PLANE]
            np.matmul(p.kernels[-1][:, which], rows, out=following)
            if self.sign > 0:
                following += state
            else:
                np.subtract(state, following, out=following)
        return following

    def backward(self, g: Array, gradient: Parameters) -> None:
        """Replace the loss's derivative by the end, in g, by that by the start, and add to the gradient."""
        p = self.parameters
        activation = activation_named(p.architecture.activation)
        last = len(p.kernels) - 1
        batch = g.shape[2]
        for step in reversed(range(len(self.order))):
            which = self.order[step]
            through = g if self.sign > 0 else np.negative(g, out=self._scratch(-1, PLANE, batch))
            for depth in range(last, -1, -1):
                kernel = p.kernels[depth][:, which]
                rows = self.workspace.held[self.name, step, depth]
                before = p.kernels[depth - 1].shape[2] if depth else PLANE
                gradient.kernels[depth][:, which] += np.matmul(through, rows.transpose(0, 2, 1))
                received = self._scratch(depth, before, batch)
                np.matmul(kernel[:, :, :before].transpose(0, 2, 1), through, out=received)
                if depth:
                    slope = self._scratch(last + depth, before, batch)
                    received *= activation.slope(rows[:, :before], slope)
                through = received
            g += through

    def _scratch(self, key: int, rows: int, batch: int) -> Array:
        p = self.parameters
        return self.workspace.take(("scratch", self.name, key), (p.seeds, rows, batch), p.flat.dtype)
