"""The folder that an analysis leaves: the result, the pairs that prove something, the table of units, the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_diffeo_probe.analysis.result.schema import write_result
from resnet_diffeo_probe.analysis.result.whole_file import write_whole, writing
from resnet_diffeo_probe.report.render import render
from resnet_diffeo_probe.report.sections.table import units_csv

__all__ = ["write_folder"]


def write_folder(
    result: dict[str, Any], folder: Path, *, save_witnesses: Callable[[Path], object] | None = None
) -> None:
    """Write `result.json`, `witnesses/`, `units.csv` and `report.html`.

    Args:
        result: a valid stored analysis.
        folder: made if it does not exist.
        save_witnesses: writes the pairs of points into the folder that it is given; those of an earlier analysis are
            removed first. None: the pairs are not at hand, and what is there stays.

    Raises:
        OutputError: the folder or a file in it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_result(result, folder / "result.json")
        if save_witnesses is not None:
            pairs = folder / "witnesses"
            for stale in pairs.glob("*.npz"):
                stale.unlink()
            save_witnesses(pairs)
        write_whole(folder / "units.csv", units_csv(result))
        render(result, path=folder / "report.html")
