"""Two images with the same features: a pair in the space of pixels for the network up to one of its units.

A coordinate that the activation after the addition clips does not move with the image. Where fewer coordinates of a
unit's output move than there are pixels, the Jacobian of the features by the pixels has a kernel, and a step along it
changes no feature until an activation on the way crosses its kink. Beyond that point the step is brought back onto the
level set by chord steps in the row space of the same Jacobian (Kelley, Iterative Methods for Linear and Nonlinear
Equations, 1995, section 5.4.1: Newton's method with one factorisation), which costs no derivative. The pair counts by
what the forward passes give at its two images, whatever found it.

See docs/mathematics.md, "What proves a fold".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.witnesses.witness import EQUATION, SEPARATION, file_name
from resnet_diffeo_probe.units import Discovery

__all__ = ["NoPixelPair", "PixelPair", "check_pair", "pixel_pair", "save"]

DOMAIN = "the space of preprocessed pixels, Rⁿ (the second image may leave the range that a picture's bytes can give)"
# Rows of the Jacobian that one backward pass gives: samples do not mix, as many copies of the image run at once.
_ROWS = 32
# Entries of the Jacobian, half a gigabyte of them: the factorisation holds several matrices of this size.
_MOST_ENTRIES = 2**26
# Singular values below this share of the largest count as zero: rows of a deep map carry rounding of this order.
_RANK_TOLERANCE = 1e-11
# Kernel directions that are tried, chord steps of one attempt, halvings between a length that works and one that fails.
_DIRECTIONS, _CHORD_STEPS, _HALVINGS = 3, 40, 6
# Shares of the gap that a proof may have: asked of a search, and of what is kept where the steps go on converging.
_MARGIN, _POLISH = 0.1, 1e-3

_Features = Callable[[Tensor], tuple[tuple[Tensor, Tensor], ...]]


@dataclass(frozen=True, eq=False)
class PixelPair:
    """An image and another one, and how far a unit's features of the two are apart.

    Attributes:
        unit: its name.
        x1: (1, *shape) float64, the image as it was given.
        x2: (1, *shape) float64, the other one.
        distance: ‖x₁ − x₂‖.
        relative_distance: ‖x₁ − x₂‖ / ‖x₁‖; 0 for x₁ = 0.
        gap: distance of the features at the unit's output, the larger of what the checks found.
        rank: of the Jacobian by the pixels at x₁, up to the unit whose kernel was followed; None if not computed.
        pixels: the number of coordinates of an image.
        checked_by: what ran the map, for people.
        name: of the image.
        domain: where the pair lies.
    """

    unit: str
    x1: Tensor
    x2: Tensor
    distance: float
    relative_distance: float
    gap: float
    rank: int | None
    pixels: int
    checked_by: tuple[str, ...]
    name: str = ""
    domain: str = DOMAIN

    @property
    def is_proof(self) -> bool:
        """Whether the features agree, and the images differ, by more than rounding could do (as for `Witness`)."""
        agree = bool(self.checked_by) and self.gap <= EQUATION * self.distance
        return agree and self.distance > 0 and self.distance >= SEPARATION * norm(self.x1)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object without the images themselves: they are in `file`."""
        plain = ("unit", "is_proof", "distance", "relative_distance", "gap", "rank", "pixels", "domain")
        more = {"checked_by": list(self.checked_by), "file": file_name(self.unit, "pixels")}
        return {"map": "pixels", "input": self.name, **{key: getattr(self, key) for key in plain}, **more}


@dataclass(frozen=True)
class NoPixelPair:
    """Why there is no pair, for people; not that the map is injective: a pair far from the image may exist."""

    reason: str


def pixel_pair(
    discovery: Discovery,
    x: Tensor,
    *,
    unit: str | None = None,
    module: nn.Module | None = None,
    seed: int = 0,
    name: str = "",
) -> PixelPair | NoPixelPair:
    """Look for another image with the same features at a unit's output.

    Args:
        discovery: with parameters in float64 (`Discovery.to`).
        x: (1, *shape) float64, the image as the network takes it.
        unit: its name: the kernel of the unit up to it where the fewest coordinates move is followed; None for the
            first unit where fewer move than there are pixels and their gradients fit into memory.
        module: the user's whole network, in float64 and evaluation mode, for a second check; left as it is.
        seed: of the directions.
        name: of the image.

    Returns:
        The pair, checked (`is_proof` says what came out), or a `NoPixelPair` with the reason.

    Raises:
        ValueError: the image is not one finite image in float64, or no unit has this name.
    """
    if x.dtype != torch.float64 or x.dim() < 2 or x.shape[0] != 1 or not torch.isfinite(x).all():
        raise ValueError("a pair of images is looked for from one finite image in float64")
    names = [u.name for u in discovery.units]
    if unit is not None:  # what a unit before it has lost, it has lost as well
        names = names[: names.index(unit) + 1] if unit in names else [unit]
    if not names or not discovery.batch_is_free:
        return NoPixelPair("the network takes one batch size only" if names else "there is no residual unit")
    x, pixels = x.detach(), x.numel()
    moving = _moving(_features(discovery, names), x)
    counts = [int(moves.sum()) for moves in moving]
    fits = [n < pixels and n * pixels <= _MOST_ENTRIES for n in counts]
    if not any(fits):
        least = min(counts)
        moves = f"{least} coordinates of the output of {names[counts.index(least)]} move with the image"
        few = f"their gradients by its {pixels} pixels would take {8e-9 * least * pixels:.3g} GB"
        many = f"not fewer than its {pixels} pixels: there need not be a kernel"
        return NoPixelPair(f"{moves}, {few if least < pixels else many}")
    at = fits.index(True) if unit is None else counts.index(min(counts))
    level = _LevelSet(_features(discovery, [names[at]]), x, moving[at])
    if (found := level.farthest(seed)) is None:
        where = f"where the Jacobian at {names[at]} has rank {level.rank} for {pixels} pixels"
        return NoPixelPair(f"{where}, no step along its kernel kept the features long enough for a proof")
    return replace(check_pair(discovery, x, found, unit or names[at], module), rank=level.rank, name=name)


def check_pair(
    discovery: Discovery, x1: Tensor, x2: Tensor, unit: str, module: nn.Module | None = None
) -> PixelPair:
    """Run the network up to a unit at both images in float64 and say what came out.

    Args:
        discovery: with parameters in float64.
        x1: (1, *shape) float64.
        x2: (1, *shape) float64.
        unit: the unit's name.
        module: the user's whole network, in float64 and evaluation mode; its submodule of the unit's name is compared
            as well, where that gives the unit's output.

    Raises:
        ValueError: the images are not float64, or no unit has this name.
    """
    if x1.dtype != torch.float64 or x2.dtype != torch.float64:
        raise ValueError("a pair is checked in float64")
    x1, x2, features = x1.detach(), x2.detach(), _features(discovery, [unit])
    y1, y2 = (_run(features, x)[1] for x in (x1, x2))
    gaps = {"the network's graph up to the unit": norm(y1 - y2)}
    own = [] if module is None else [y for x in (x1, x2) if (y := _own_features(module, unit, x)) is not None]
    # a submodule of this name that gives another tensor (the sum before the activation) is no check of this map
    if len(own) == 2 and own[0].shape == y1.shape and norm(own[0] - y1) <= 1e-3 * norm(y1):
        gaps["the network's own module"] = norm(own[0] - own[1])
    distance, size, gap = norm(x1 - x2), norm(x1), max(gaps.values())
    return PixelPair(unit, x1, x2, distance, size and distance / size, gap, None, x1.numel(), tuple(gaps))


def save(pair: PixelPair, folder: Path) -> Path:
    """Write a pair as `<folder>/<unit>.pixels.npz`.

    The file holds the arrays `x1`, `x2` and the strings `unit`, `map` ("pixels"), `domain`. Reading it needs no pickle.

    Args:
        pair: a proof.
        folder: made if it does not exist.

    Raises:
        ValueError: the pair is no proof.
    """
    if not pair.is_proof:
        raise ValueError(f"the pair of images at {pair.unit} is no proof and is not saved")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(pair.unit, "pixels")
    texts = {"unit": np.array(pair.unit), "map": np.array("pixels"), "domain": np.array(pair.domain)}
    np.savez(path, allow_pickle=False, x1=pair.x1.numpy(), x2=pair.x2.numpy(), **texts)
    return path


class _LevelSet:
    """The images with the features of one: its tangent space at that image, and steps back onto it."""

    def __init__(self, features: _Features, x: Tensor, moves: Tensor):
        self._features, self._x, self._size, self._moves = features, x, norm(x) or 1.0, moves
        self._sum, self._output = _run(features, x)
        # the QR first: the singular vectors are then those of a small square matrix
        q, r = torch.linalg.qr(_rows(features, x, moves).T)
        u, s, vh = torch.linalg.svd(r.T)
        self.rank = int((s > _RANK_TOLERANCE * s[:1]).sum())
        self._left, self._singular = u[:, : self.rank], s[: self.rank]
        self._right = q @ vh[: self.rank].T

    def farthest(self, seed: int) -> Tensor | None:
        """Return the farthest image that was found, None if there is none that could be a proof."""
        generator = torch.Generator().manual_seed(seed)
        found = []
        for _ in range(_DIRECTIONS):
            v = torch.randn(self._x.numel(), dtype=torch.float64, generator=generator)
            for _ in range(2):  # the second projection removes what rounding left of the first
                v = v - self._right @ (self._right.T @ v)
            found.append(self._along((v / norm(v)).reshape(self._x.shape)))
        best = max((y for y in found if y is not None), key=lambda y: norm(y - self._x), default=None)
        polished = None if best is None else self._back(best, _POLISH)
        return best if polished is None else polished

    def _along(self, v: Tensor) -> Tensor | None:
        """Return the last image on the way along v: doubled lengths, then halved intervals."""
        least = 2 * SEPARATION * self._size
        works, fails, length, halvings = 0.0, float("inf"), 1e3 * least, 0
        best: Tensor | None = None
        # no farther than the image is from zero, no nearer than a proof may be
        while least <= length <= self._size and halvings < _HALVINGS:
            if (found := self._back(self._x + length * v, _MARGIN)) is None:
                fails = length
            else:
                works, best = length, found
            halvings += best is not None and fails < float("inf")
            length = length / 4 if best is None else min(2 * length, (works + fails) / 2)
        return best

    def _back(self, x: Tensor, margin: float) -> Tensor | None:
        """Return an image near x with the features up to a share of the gap of a proof; None if chord steps fail."""
        last = float("inf")
        for _ in range(_CHORD_STEPS):
            total, output = _run(self._features, x)
            if norm(output - self._output) <= margin * EQUATION * norm(x - self._x):
                return x if norm(x - self._x) >= 2 * SEPARATION * self._size else None
            rest = (self._sum - total)[self._moves]
            # a clipped coordinate that has come alive is in no row: then the rest vanishes and the gap stays
            if not norm(rest) < 0.9 * last:
                return None
            last = norm(rest)
            x = x + (self._right @ ((self._left.T @ rest) / self._singular)).reshape(x.shape)
        return None


def _features(discovery: Discovery, names: list[str]) -> _Features:
    """Return the network up to the last of these units, as a map to sum and output of each."""
    network, units = discovery.with_taps(), {u.name: u for u in discovery.units}
    if unknown := [name for name in names if name not in units]:
        raise ValueError(f"the network has no unit {unknown[0]}")
    nodes = {str(node.target): node for node in network.graph.nodes}
    ends = [[nodes[f"taps.{units[name].tap_name}.{place}"] for place in ("sum", "output")] for name in names]
    nodes["output"].args = (tuple(tuple(end) for end in ends),)
    network.graph.eliminate_dead_code()
    return fx.GraphModule(network, network.graph).requires_grad_(False)  # the taps wrap parameters anew


@torch.no_grad()
def _run(features: _Features, x: Tensor) -> tuple[Tensor, ...]:
    return tuple(end[0] for end in features(x)[0])


def _moving(features: _Features, x: Tensor) -> list[Tensor]:
    """Return for each unit which coordinates of its output move with the sum: the others are clipped."""
    ends = features(x.clone().requires_grad_())
    return [torch.autograd.grad(out.sum(), total, retain_graph=True)[0][0] != 0 for total, out in ends]


def _rows(features: _Features, x: Tensor, moves: Tensor) -> Tensor:
    """Return the gradients of the sum's coordinates that move, (coordinates, pixels), a row for each copy and pass."""
    images = x.repeat(_ROWS, *[1] * (x.dim() - 1)).requires_grad_()
    ((total, _),) = features(images)
    rows = []
    for part in moves.flatten().nonzero().flatten().split(_ROWS):
        seeds = nn.functional.one_hot(part, moves.numel()).to(x).reshape(-1, *moves.shape)
        (gradient,) = torch.autograd.grad(total[: len(part)], images, seeds, retain_graph=True)
        rows.append(gradient[: len(part)].flatten(1))
    return torch.cat(rows)


def _own_features(module: nn.Module, unit: str, x: Tensor) -> Tensor | None:
    """Return what the user's own submodule of the unit's name gives for an image; None where that is no answer."""
    parts, seen = dict(module.named_modules()), list[Tensor]()
    if unit not in parts or any(p.training for p in parts.values()):  # a run would move running statistics
        return None
    handle = parts[unit].register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    try:
        with torch.no_grad():
            module(x.clone())
    except (AttributeError, RuntimeError, TypeError, ValueError):  # another dtype; no tensor as output
        return None
    finally:
        handle.remove()
    return seen[0][0] if len(seen) == 1 else None  # a submodule that is called twice has no one output
