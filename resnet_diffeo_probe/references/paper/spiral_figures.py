"""Figures 2, 3 and 4 of the paper, in its arrangement and with what a single colour scale hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.fields.chance import Purpose
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters
from resnet_diffeo_probe.flows.integration.integrate import flow_states
from resnet_diffeo_probe.flows.integration.jacobian_map import DeterminantMap, determinant_map, square_grid
from resnet_diffeo_probe.flows.studies.boundary import boundary_of
from resnet_diffeo_probe.flows.training.accuracy import classify
from resnet_diffeo_probe.flows.training.training import draw_training_data
from resnet_diffeo_probe.references.paper.style import (
    CLASS_COLOURS,
    DPI,
    NEGATIVE,
    STYLE,
    PaperFigure,
    picture,
)
from resnet_diffeo_probe.references.weights import TrainedNetworks

__all__ = [
    "DrawnSeeds",
    "boundary_figure",
    "draw_determinant",
    "draw_flow_step",
    "draw_regions",
    "flow_figure",
    "growth_of",
    "jacobian_figure",
    "shown_network",
]

Array = NDArray[np.floating[Any]]

POINTS = 400


@dataclass(frozen=True, slots=True)
class DrawnSeeds:
    """The one seed of a network that is drawn, and the other good ones.

    Attributes:
        networks: all seeds.
        seed: the one drawn.
        good: rows of the seeds above 99 %.
        reference: the network's object in the references.
    """

    networks: TrainedNetworks
    seed: int
    good: list[int]
    reference: dict[str, Any]

    @property
    def letter(self) -> str:
        """The paper's letter."""
        return self.networks.setting.network

    @property
    def one(self) -> Parameters:
        """The weights of the seed drawn, float64."""
        row = self.networks.seeds.index(self.seed)
        return self.networks.parameters.select([row]).astype(np.float64)

    @property
    def numbers(self) -> dict[str, Any]:
        """The whole-map measures of the seed drawn."""
        found: dict[str, Any] = next(m for m in self.reference["maps"] if m["seed"] == self.seed)
        return found


def shown_network(networks: TrainedNetworks, reference: dict[str, Any]) -> DrawnSeeds:
    """Choose the good seed whose least determinant is the median one (the lower of two)."""
    good = set(reference["good_seeds"])
    ranked = sorted((m["determinant_least"], m["seed"]) for m in reference["maps"] if m["seed"] in good)
    seed = ranked[(len(ranked) - 1) // 2][1]
    return DrawnSeeds(networks, seed, [networks.seeds.index(s) for s in sorted(good)], reference)


def _data(shown: DrawnSeeds) -> tuple[Array, Array]:
    points, labels = draw_training_data(shown.networks.setting, (shown.seed,), Purpose.HELD_OUT_DATA, POINTS)
    return points[0].astype(np.float64), labels[0]


def boundary_figure(shown: list[DrawnSeeds]) -> PaperFigure:
    """Draw figure 2: decision boundaries, of one seed in the paper's arrangement and of all good seeds below."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 5.4), layout="constrained", dpi=DPI)
        axes = figure.subplots(2, len(shown), sharex=True, sharey=True)
        for column, item in enumerate(shown):
            one, all_ = axes[0, column], axes[1, column]
            radius = draw_regions(one, item, size=1.5)
            one.set_title(f"({item.letter}) {_wrapped(NETWORKS[item.letter].title)}\nseed {item.seed}")
            for row in item.good:
                parameters = item.networks.parameters.select([row]).astype(np.float64)
                _draw_boundary(all_, parameters, radius, linewidth=0.5, alpha=0.35)
            all_.set_title(f"all {len(item.good)} good seeds")
            all_.set_aspect("equal")
            for axis in (one, all_):
                axis.set_xlim(-radius, radius)
                axis.set_ylim(-radius, radius)
    lengths = "; ".join(
        f"({s.letter}) length {s.numbers['boundary_length']:.1f}, "
        f"total curvature {s.numbers['boundary_curvature']:.1f} rad"
        for s in shown
    )
    return picture(
        figure,
        "figure-2",
        "Figure 2: decision boundaries",
        "Above, in the paper's arrangement, one seed of each network (the one whose least determinant is the median "
        "of the good seeds) with held-out points; below, the boundaries of all seeds above 99 %.",
        f"Decision boundaries of the four networks in the plane. {lengths}.",
        vector=False,
    )


def draw_regions(axis: Any, item: DrawnSeeds, *, size: float) -> float:
    """Draw the two regions, the boundary between them and held-out points of the seed drawn.

    Args:
        axis: of matplotlib.
        item: the network.
        size: of a point.

    Returns:
        Half the side of the square that is drawn.
    """
    radius = 1.08 * item.networks.setting.spirals.radius
    logits = classify(item.one, square_grid(radius, 200)).reshape(200, 200)
    axis.imshow(
        logits > 0,
        origin="lower",
        extent=(-radius, radius, -radius, radius),
        cmap=ListedColormap(["#D6E4F0", "#FBE8C0"]),
        interpolation="nearest",
    )
    _draw_boundary(axis, item.one, radius, linewidth=1.2, alpha=1.0)
    points, labels = _data(item)
    axis.scatter(*points, s=size, c=[CLASS_COLOURS[int(k)] for k in labels], linewidths=0)
    return radius


def _draw_boundary(
    axis: Any, parameters: Parameters, radius: float, *, linewidth: float, alpha: float
) -> None:
    for piece in boundary_of(parameters, radius, side=150).pieces:
        axis.plot(*piece, color="black", linewidth=linewidth, alpha=alpha)


def _wrapped(title: str) -> str:
    """Break a title before 'with' or 'without', so that four fit in a row."""
    for word in (" without ", " with "):
        if word in title:
            return title.replace(word, f"\n{word.strip()} ", 1)
    return title


def flow_figure(shown: list[DrawnSeeds], *, columns: int = 11) -> PaperFigure:
    """Draw figure 3: the points on their way through the units, with the square's grid lines beneath."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.8), layout="constrained", dpi=DPI)
        axes = figure.subplots(len(shown), columns)
        for row, item in enumerate(shown):
            at = np.linspace(0, VelocityField(item.one).steps, columns).round().astype(int)
            for column, step in enumerate(at):
                axis = axes[row, column]
                reach = draw_flow_step(axis, item, int(step), size=0.8, line=0.3)
                axis.set_xlabel(f"±{reach:.1f}", fontsize=7, labelpad=1)
                for side in ("top", "right"):
                    axis.spines[side].set_visible(True)
                if row == 0:
                    axis.set_title("input" if step == 0 else f"unit {step}")
            axes[row, 0].set_ylabel(f"({item.letter})", rotation=0, labelpad=12, fontsize=11)
    growth = "; ".join(f"({s.letter}) {growth_of(s):.1f} times" for s in shown)
    return picture(
        figure,
        "figure-3",
        "Figure 3: the points on their way through the 20 units",
        "Every second unit. Grey: the lines of a square grid in the input, carried along; where they cross, the map "
        "folds. Each panel is centred on its points; the number below it is half its side, because no common scale "
        "shows both ends of an expanding map.",
        f"Held-out points after every second unit. Largest extent at the end over that at the start: {growth}.",
        vector=False,
    )


def draw_flow_step(axis: Any, item: DrawnSeeds, step: int, *, size: float, line: float) -> float:
    """Draw held-out points and the lines of a square grid after so many units.

    Args:
        axis: of matplotlib.
        item: the network.
        step: units passed, from 0.
        size: of a point.
        line: width of the grid's lines.

    Returns:
        Half the side of the square that is drawn, which is centred on the points.
    """
    field = VelocityField(item.one)
    points, labels = _data(item)
    here = flow_states(field, points[None])[step][0]
    lines = flow_states(field, _grid_lines(item.networks.setting.spirals.radius))[step][0]
    middle = (here.min(axis=1) + here.max(axis=1)) / 2
    reach = float(1.08 * np.abs(here - middle[:, None]).max())
    for path in lines.reshape(2, -1, LINE_POINTS).transpose(1, 0, 2):
        axis.plot(*path, color="#BBBBBB", linewidth=line, zorder=0)
    axis.scatter(*here, s=size, c=[CLASS_COLOURS[int(k)] for k in labels], linewidths=0)
    axis.set_xlim(middle[0] - reach, middle[0] + reach)
    axis.set_ylim(middle[1] - reach, middle[1] + reach)
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
    return reach


LINE_POINTS = 80
LINES = 13


def _grid_lines(radius: float) -> Array:
    """Return the points of horizontal and vertical lines of the square, (1, 2, lines * LINE_POINTS)."""
    along = np.linspace(-radius, radius, LINE_POINTS)
    lines = [np.stack([along, np.full(LINE_POINTS, y)]) for y in np.linspace(-radius, radius, LINES)]
    lines += [line[::-1] for line in lines]
    return np.concatenate(lines, axis=1)[None]


def growth_of(item: DrawnSeeds) -> float:
    """Return the largest extent of the points behind the last unit over that before the first."""
    states = flow_states(VelocityField(item.one), _data(item)[0][None])
    start, end = (np.ptp(states[k][0], axis=1).max() for k in (0, -1))
    return float(end / start)


def jacobian_figure(shown: list[DrawnSeeds], *, side: int = 240) -> PaperFigure:
    """Draw figure 4: the determinant on the square, in the paper's colours above, on a logarithm below."""
    maps = [
        determinant_map(VelocityField(item.one), item.networks.setting.spirals.radius, side=side)
        for item in shown
    ]
    positive = np.concatenate([np.log2(m.values[m.values > 0]) for m in maps])
    limit = float(np.quantile(np.abs(positive), 0.99))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.2), layout="constrained", dpi=DPI)
        axes = figure.subplots(2, len(shown), sharex=True, sharey=True)
        for column, (item, map_) in enumerate(zip(shown, maps, strict=True)):
            box = (-map_.radius, map_.radius, -map_.radius, map_.radius)
            top = axes[0, column].imshow(
                map_.values[0], origin="lower", extent=box, cmap="gray", vmin=-2.5, vmax=2.5
            )
            bottom = draw_determinant(axes[1, column], map_, limit)
            axes[0, column].set_title(
                f"({item.letter}) seed {item.seed}\nJmin = {map_.least[0]:.2f}, Jmax = {map_.greatest[0]:.4g}"
            )
            axes[1, column].set_title(f"det ≤ 0 on {100 * (map_.values[0] <= 0).mean():.1f} %")
        figure.colorbar(top, ax=axes[0], label="det J, paper's scale", extend="both", aspect=12)
        figure.colorbar(bottom, ax=axes[1], label="log₂ det J where det J > 0", extend="both", aspect=12)
    words = "; ".join(
        f"({s.letter}) from {m.least[0]:.2f} to {m.greatest[0]:.4g}, det ≤ 0 on {100 * (m.values[0] <= 0).mean():.1f} %"
        for s, m in zip(shown, maps, strict=True)
    )
    return picture(
        figure,
        "figure-4",
        "Figure 4: Jacobian maps",
        "Above, the paper's own colouring (-2.5 … 2.5, dark is negative). Below, log₂ det J with limits at the 99th "
        "percentile of its size; det J ≤ 0 is a category of its own: black, hatched, outlined.",
        f"Determinant of the whole map's Jacobian on the square, same seeds as in figure 2: {words}.",
        vector=False,
    )


def draw_determinant(axis: Any, map_: DeterminantMap, limit: float) -> Any:
    """Draw log₂ det J with symmetric limits; det J ≤ 0 is a category: dark, hatched, outlined."""
    values = map_.values[0]
    box = (-map_.radius, map_.radius, -map_.radius, map_.radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        shade = np.where(values > 0, np.log2(values), np.nan)
    image = axis.imshow(shade, origin="lower", extent=box, cmap="PuOr", vmin=-limit, vmax=limit)
    if (values <= 0).any():
        line = square_grid(map_.radius, values.shape[0])[0, 0, : values.shape[0]]
        inside = (values <= 0).astype(float)
        axis.contourf(line, line, inside, levels=[0.5, 1.5], colors=[NEGATIVE])
        axis.contourf(line, line, inside, levels=[0.5, 1.5], colors="none", hatches=["////"])
        axis.contour(line, line, inside, levels=[0.5], colors="white", linewidths=0.6)
    return image
