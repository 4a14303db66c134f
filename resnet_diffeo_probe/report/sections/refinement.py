"""The refinement test: what becomes of the predictions when units take finer steps of the same field."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.text.escaping import percent
from resnet_diffeo_probe.report.text.units import ReportUnit

__all__ = ["RefinedLine", "RefinementSection", "refinement_of"]

Kind = tuple[str, int]
ALL_UNITS = "all units together"
_LOOKS: dict[str, tuple[str, Any]] = {
    "a": (svg.ORANGE, (0, (3, 2))),
    "b": (svg.RED, (0, (1, 1.5))),
    "c": (svg.BLUE, (0, (6, 2, 1, 2))),
    "d": (svg.GREY, "solid"),
}


@dataclass(frozen=True, slots=True)
class RefinedLine:
    """One refinement of one row: three numbers, None where there is none."""

    agreement: float
    logit_change: float | None
    accuracy: float | None
    #: of the spirals, the agreement of the seed that keeps least
    least: float | None = None


@dataclass(frozen=True, slots=True)
class RefinementSection:
    """The whole screen.

    Attributes:
        kinds: the columns, scheme and sub-steps.
        rows: name, anchor of the unit (None for all together), a cell for every kind.
        spirals: letter of a network, number of seeds, a cell (medians over seeds) for every kind.
        inputs: on how many inputs, at most.
        accuracy_before: of the network as it is.
        chart: agreement of all units together; None where that was not run.
    """

    kinds: list[Kind]
    rows: list[tuple[str, str | None, list[RefinedLine | None]]]
    spirals: list[tuple[str, int, list[RefinedLine | None]]]
    inputs: int
    accuracy_before: float | None
    chart: Markup | None

    @staticmethod
    def name(kind: Kind) -> str:
        """Return what a refinement is called."""
        scheme, steps = kind
        scheme = {"euler": "Euler", "rk4": "RK4"}[scheme]
        return f"{scheme}, {steps} {'step' if steps == 1 else 'steps'}"


def refinement_of(result: Mapping[str, Any], units: Sequence[ReportUnit]) -> RefinementSection | None:
    """Return the refinement test of a valid result; None where it was not run."""
    entries = result.get("refinement") or []
    if not entries:
        return None
    kinds = sorted({(entry["scheme"], entry["steps"]) for entry in entries})
    found: dict[str | None, dict[Kind, RefinedLine]] = {}
    for entry in entries:
        numbers = RefinedLine(entry["agreement"], entry["logit_change"], entry["accuracy"])
        found.setdefault(entry["unit"], {})[entry["scheme"], entry["steps"]] = numbers
    rows: list[tuple[str, str | None, list[RefinedLine | None]]] = []
    for name, anchor in ((None, None), *((unit.name, unit.anchor) for unit in units)):
        if name in found:
            rows.append((name or ALL_UNITS, anchor, [found[name].get(kind) for kind in kinds]))
    spirals = _spirals(kinds)
    before = [entry["accuracy_before"] for entry in entries if entry["accuracy_before"] is not None]
    together = found.get(None)
    return RefinementSection(
        kinds=kinds,
        rows=rows,
        spirals=spirals,
        inputs=max(entry["inputs"] for entry in entries),
        accuracy_before=before[0] if before else None,
        chart=_chart(kinds, [together.get(kind) for kind in kinds], spirals) if together else None,
    )


def _spirals(kinds: Sequence[Kind]) -> list[tuple[str, int, list[RefinedLine | None]]]:
    rows = []
    for letter, network in sorted(shipped_references()["networks"].items()):
        shipped = {(row["scheme"], row["steps"]): row for row in network.get("refinement", ())}
        cells = [_medians(shipped[kind]) if kind in shipped else None for kind in kinds]
        if any(cells):
            rows.append((letter, len(network["good_seeds"]), cells))
    return rows


def _medians(row: Mapping[str, Any]) -> RefinedLine:
    agreement, change, accuracy = (
        statistics.median(value for value in row[key] if value is not None)
        for key in ("agreement", "logit_change", "accuracy")
    )
    return RefinedLine(agreement, change, accuracy, min(row["agreement"]))


def _chart(
    kinds: Sequence[Kind],
    cells: Sequence[RefinedLine | None],
    spirals: Sequence[tuple[str, int, list[RefinedLine | None]]],
) -> Markup:
    """Draw agreement against the refinement, the network as it is (where all agree) at the left."""
    names = ["as it is", *(RefinementSection.name(kind) for kind in kinds)]
    with mpl.rc_context(svg.STYLE):
        figure = Figure(figsize=(5.0, 3.1))
        axes = figure.add_axes((0.135, 0.14, 0.80, 0.82))
        axes.set_xlim(-0.3, len(kinds) + 0.3)
        axes.set_ylim(-0.03, 1.05)
        axes.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        axes.set_xticklabels([name.replace(", ", "\n") for name in names])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(float(f"{value:.6g}"))))
        axes.grid(axis="y", color=svg.GRID, linewidth=0.8)
        for place, (letter, _, row) in enumerate(spirals):
            colour, dashes = _LOOKS[letter]
            places, shares = _line(row)
            least = [1.0, *(cell.least or 0.0 for cell in row if cell is not None)]
            axes.fill_between(places, least, shares, color=colour, alpha=0.2, linewidth=0)
            axes.plot(places, least, color=colour, linestyle=dashes, linewidth=0.7)
            axes.plot(places, shares, color=colour, linestyle=dashes, linewidth=1.5)
            # their lines often coincide: the letters stand below one another
            height = 0.98 - 0.07 * place
            axes.text(len(kinds) + 0.12, height, f"({letter})", color=svg.MUTED, va="center", fontsize=10)
        axes.plot(*_line(cells), color=svg.INK, linewidth=2, marker="o", markersize=5)
    alt = f"Share of predictions that stay. This network: {_said(kinds, cells)}." + "".join(
        f" Spiral network ({letter}): {_said(kinds, row)}." for letter, _, row in spirals
    )
    return svg.to_inline_svg(figure, prefix="refinement", alt=alt)


def _line(cells: Sequence[RefinedLine | None]) -> tuple[list[int], list[float]]:
    shown = [(place + 1, cell.agreement) for place, cell in enumerate(cells) if cell is not None]
    return [0, *(place for place, _ in shown)], [1.0, *(share for _, share in shown)]


def _said(kinds: Sequence[Kind], cells: Sequence[RefinedLine | None]) -> str:
    return "; ".join(
        f"{RefinementSection.name(kind)} {percent(cell.agreement)}"
        for kind, cell in zip(kinds, cells, strict=True)
        if cell is not None
    )
