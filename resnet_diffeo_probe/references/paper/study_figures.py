"""What many seeds, other steps and other depths show: the report's line and strip plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.references.paper.style import (
    DPI,
    NETWORK_COLOURS,
    SCHEME_COLOURS,
    STYLE,
    PaperFigure,
    picture,
)
from resnet_diffeo_probe.references.paper.tables import PAPER_ROWS

__all__ = ["depths_figure", "seeds_figure", "steps_figure"]

Row = dict[str, Any]


def seeds_figure(references: dict[str, dict[str, Any]]) -> PaperFigure:
    """Draw least and greatest determinants of every good seed of every setting, with the paper's values."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=DPI)
        least, greatest = figure.subplots(1, 2)
        places, labels = [], []
        words = []
        for order, letter in enumerate(NETWORKS):
            for shift, (setting, reference) in enumerate(references.items()):
                place = order * (len(references) + 1) + shift
                places.append(place)
                labels.append(f"({letter})\n{setting}")
                network = reference["networks"][letter]
                maps = [m for m in network["maps"] if m["seed"] in network["good_seeds"]]
                # a fixed spread beside the place: the seeds' order carries no meaning, overlap would hide them
                beside = place + 0.5 * (np.arange(len(maps)) / max(len(maps) - 1, 1) - 0.5)
                for axis, key in ((least, "determinant_least"), (greatest, "determinant_greatest")):
                    values = [m[key] for m in maps]
                    axis.plot(beside, values, "o", ms=3, mec="none", alpha=0.7, color=NETWORK_COLOURS[letter])
                    middle = float(np.median(values))
                    axis.plot([place - 0.35, place + 0.35], [middle, middle], color="black", linewidth=1.2)
                negative = sum(m["determinant_least"] < 0 for m in maps)
                words.append(f"({letter}, {setting}) {negative} of {len(maps)} seeds negative")
            span = order * (len(references) + 1) + np.array([-0.5, len(references) - 0.5])
            for axis, key in ((least, "determinant_least"), (greatest, "determinant_greatest")):
                value = PAPER_ROWS[letter][key]
                axis.plot(span, [value, value], "--", color="#777777", linewidth=1)
        least.axhline(0, color="black", linewidth=0.6)
        least.set_yscale("symlog", linthresh=1)
        greatest.set_yscale("log")
        least.set_title("least det J on the square (symmetric logarithm beyond ±1)")
        greatest.set_title("greatest det J on the square")
        for axis in (least, greatest):
            axis.set_xticks(places, labels, fontsize=7)
    return picture(
        figure,
        "seeds",
        "The determinant over seeds",
        "One dot a seed above 99 %; the bar is their median, the dashed line the paper's single value.",
        "Least and greatest determinant of every good seed. " + "; ".join(words) + ".",
        vector=True,
    )


def steps_figure(rows: Sequence[Row], setting: str) -> PaperFigure:
    """Draw study 1: accuracy and least determinant of trained fields against steps, for every scheme."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 4.8), layout="constrained", dpi=DPI)
        axes = figure.subplots(2, len(NETWORKS), sharex=True, sharey="row")
        words = []
        for column, letter in enumerate(NETWORKS):
            own = [r for r in rows if r["network"] == letter]
            trained = _median([r for r in own if r["scheme"] == "euler" and r["steps"] == 20], "accuracy")
            for scheme, colour in SCHEME_COLOURS.items():
                mine = [r for r in own if r["scheme"] == scheme]
                steps = sorted({r["steps"] for r in mine})
                for axis, key in ((axes[0, column], "accuracy"), (axes[1, column], "determinant_least")):
                    groups = [[r[key] for r in mine if r["steps"] == n and r[key] is not None] for n in steps]
                    if scheme == "adaptive":
                        level = [v for g in groups for v in g]
                        if level:
                            axis.axhline(
                                float(np.median(level)), color=colour, linewidth=1, ls=":", label="adaptive"
                            )
                        continue
                    kept = [(n, g) for n, g in zip(steps, groups, strict=True) if g]
                    at = [n for n, _ in kept]
                    axis.plot(
                        at, [np.median(g) for _, g in kept], ".-", color=colour, ms=4, lw=1, label=scheme
                    )
                    if scheme == "euler":
                        low = [np.quantile(g, 0.1) for _, g in kept]
                        high = [np.quantile(g, 0.9) for _, g in kept]
                        axis.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
            worst = min(
                (_median([r for r in own if r["scheme"] == "euler" and r["steps"] == n], "accuracy"), n)
                for n in sorted({r["steps"] for r in own if r["scheme"] == "euler"})
            )
            words.append(
                f"({letter}) {trained:.3f} as trained, least median {worst[0]:.3f} at {worst[1]} steps"
            )
            axes[0, column].set_title(f"({letter})")
            axes[1, column].axhline(0, color="black", linewidth=0.6)
            axes[1, column].set_xlabel("steps over the trained duration")
            for axis in axes[:, column]:
                axis.axvline(20, color="#999999", linewidth=0.6, zorder=0)
                axis.set_xscale("log")
                axis.set_xticks([5, 20, 80, 320], ["5", "20", "80", "320"])
                axis.minorticks_off()
        axes[0, 0].set_ylabel("accuracy")
        axes[1, 0].set_ylabel("least det J")
        axes[1, 0].set_yscale("symlog", linthresh=1)
        axes[0, 0].legend(fontsize=7, frameon=False, loc="lower right")
    return picture(
        figure,
        f"study-1-{setting}",
        f"Study 1: the trained fields with other steps and schemes ({setting} setting)",
        "Medians over seeds; the grey band holds 80 % of them for Euler. The network as it was trained is Euler "
        "with 20 steps (grey line). A network that approximates its own flow keeps its accuracy to the right and "
        "for every scheme.",
        "Median accuracy under Euler with other steps: " + "; ".join(words) + ".",
        vector=True,
    )


def depths_figure(rows: Sequence[Row]) -> PaperFigure:
    """Draw study 2: critical step and least determinant of networks trained at other depths."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained", dpi=DPI)
        axes = figure.subplots(1, 3)
        keys = ("inverse_critical_step_on_data", "determinant_least", "accuracy")
        depths = sorted({r["depth"] for r in rows})
        words = []
        for shift, letter in enumerate(NETWORKS):
            own = [r for r in rows if r["network"] == letter]
            colour = NETWORK_COLOURS[letter]
            for axis, key in zip(axes, keys, strict=True):
                medians = []
                for depth in depths:
                    here = [r for r in own if r["depth"] == depth]
                    good = [r[key] for r in here if r["accuracy"] > 0.99]
                    bad = [r[key] for r in here if r["accuracy"] <= 0.99]
                    place = depth * (1 + 0.06 * (shift - 1.5))
                    axis.plot([place] * len(good), good, "o", ms=3, mec="none", color=colour, alpha=0.7)
                    axis.plot([place] * len(bad), bad, "x", ms=4, color=colour, alpha=0.7)
                    medians.append(np.median(good) if good else np.nan)
                axis.plot(depths, medians, "-", color=colour, lw=1.2, label=f"({letter})")
                if key == "determinant_least":
                    listed = ", ".join(
                        f"{n}: {m:.2f}" for n, m in zip(depths, medians, strict=True) if np.isfinite(m)
                    )
                    words.append(f"({letter}) {listed}")
        axes[0].axhline(1, color="black", linewidth=0.6)
        axes[0].set_title("greatest 1 / h* of a unit on the data\n(above 1: the step is too long)")
        axes[0].set_yscale("symlog", linthresh=0.1)
        axes[1].axhline(0, color="black", linewidth=0.6)
        axes[1].set_yscale("symlog", linthresh=1)
        axes[1].set_title("least det J on the square")
        axes[2].set_title("held-out accuracy")
        for axis in axes:
            axis.set_xscale("log")
            axis.set_xticks(depths, [str(d) for d in depths])
            axis.minorticks_off()
            axis.set_xlabel("units, as trained")
        axes[0].legend(fontsize=7, frameon=False)
    return picture(
        figure,
        "study-2",
        "Study 2: trained at other depths",
        "One mark a seed (a cross where it is not above 99 %), lines through the medians of the good ones.",
        "Median least determinant by depth: " + "; ".join(words) + ".",
        vector=True,
    )


def _median(rows: Sequence[Row], key: str) -> float:
    return float(np.median([r[key] for r in rows]))
