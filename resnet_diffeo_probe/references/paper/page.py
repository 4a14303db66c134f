"""The paper report as one HTML file with its JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from resnet_diffeo_probe.errors import OutputError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.paper.result import make_result, read_rows, study_steps
from resnet_diffeo_probe.references.paper.spiral_figures import (
    boundary_figure,
    flow_figure,
    jacobian_figure,
    shown_network,
)
from resnet_diffeo_probe.references.paper.study_figures import depths_figure, seeds_figure, steps_figure
from resnet_diffeo_probe.references.paper.style import PaperFigure
from resnet_diffeo_probe.references.weights import shipped_weights

__all__ = ["render", "write_report"]

MAIN_SETTING = "reliable"


def write_report(folder: Path, *, settings: tuple[str, ...] = (MAIN_SETTING, "paper")) -> list[Path]:
    """Make the report from the shipped networks, with the studies that lie in the folder.

    Args:
        folder: receives `report.html` and `result.json`; `depths.json` and `trainings.json`
            are read from it where they exist.
        settings: the settings to report, the main one first.

    Returns:
        The files written.

    Raises:
        OutputError: the folder cannot be written to.
    """
    depths = read_rows(folder / "depths.json", "rows")
    trainings = read_rows(folder / "trainings.json", "trainings")
    studies = {name: study_steps(name) for name in settings}
    result = make_result(settings, studies, depths, trainings)
    shown = [
        shown_network(
            shipped_weights(settings[0], letter), shipped_references(settings[0])["networks"][letter]
        )
        for letter in NETWORKS
    ]
    pictures = [boundary_figure(shown), flow_figure(shown), jacobian_figure(shown)]
    pictures.append(seeds_figure({name: shipped_references(name) for name in settings}))
    pictures += [steps_figure(studies[name], name) for name in settings]
    if depths:
        pictures.append(depths_figure(depths))
    result["figures"] = [
        {"key": p.key, "title": p.title, "caption": p.caption, "alt": p.alt} for p in pictures
    ]
    files = {
        folder / "result.json": json.dumps(result, allow_nan=False, indent=1) + "\n",
        folder / "report.html": render(result, pictures),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise OutputError(
            f"cannot write to {folder}", why=str(problem), fix="choose another --out"
        ) from problem
    return list(files)


def render(result: dict[str, Any], pictures: list[PaperFigure]) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("resnet_diffeo_probe.references.paper", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["spread"] = _spread
    return environment.get_template("page.html.j2").render(result=result, pictures=pictures)


def _spread(value: dict[str, float] | None) -> str:
    """Write median [least, greatest] with three digits."""
    if value is None:
        return "—"
    return f"{value['median']:.3g} [{value['least']:.3g}, {value['greatest']:.3g}]"
