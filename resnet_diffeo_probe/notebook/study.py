"""A stored or fresh analysis as one object: verdicts, data frames, figures, files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_diffeo_probe.analysis.analyze import Analysis
from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.notebook import figures, frames
from resnet_diffeo_probe.notebook.card import card
from resnet_diffeo_probe.report import render, write_folder

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Study", "read"]


class Study:
    """What an analysis found, to be looked at.

    Attributes:
        result: the object of `result.json`; valid against its schema.
        analysis: the fresh analysis with its witnesses; None where the result was read from a file.
    """

    def __init__(self, result: dict[str, Any], analysis: Analysis | None = None) -> None:
        self.result = result
        self.analysis = analysis

    @property
    def verdicts(self) -> dict[str, Mapping[str, Any]]:
        """The verdict on the sum map x + F(x) of each unit, by its name, in network order."""
        return {v["unit"]: v for v in self.result["verdicts"] if v["unit"] is not None and v["map"] == "sum"}

    def to_frame(self) -> DataFrame:
        """Return every measured number, one a row.

        Returns:
            Columns unit, input, quantity, value, evidence, status, error, low, high, dtype, seed, reason; `value` is
            NaN where `status` says why there is none.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return frames.measurements(self.result)

    def units_frame(self) -> DataFrame:
        """Return one row a unit: verdicts, counts of signs, and the median of each quantity over the inputs.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return frames.units(self.result)

    def depth(self, *quantities: str) -> figures.NotebookFigure:
        """Return a figure with one panel a quantity over the units in network order.

        Args:
            quantities: names as in `to_frame`; none for those that were measured among the usual ones.

        Raises:
            ConfigurationError: a quantity was not measured.
        """
        return figures.depth(self.result, quantities)

    def determinants(self) -> figures.NotebookFigure:
        """Return a figure of log|det J|/n at every input of every unit, the sign as a row of its own.

        Raises:
            ConfigurationError: the determinant was not measured.
        """
        return figures.determinants(self.result)

    def report(self, path: Path | str) -> Path:
        """Write the self-contained HTML report.

        Raises:
            OutputError: the file cannot be written (an older one stays as it was).
        """
        render(self.result, path=Path(path))
        return Path(path)

    def save(self, folder: Path | str) -> Path:
        """Write `report.html`, `result.json`, `units.csv` and, of a fresh analysis, `witnesses/`.

        Raises:
            OutputError: the folder or a file in it cannot be written.
        """
        folder = Path(folder)
        pairs = None if self.analysis is None else self.analysis.save_witnesses
        write_folder(self.result, folder, save_witnesses=pairs)
        return folder

    def _repr_html_(self) -> str:
        return str(card(self.result))

    def __repr__(self) -> str:
        states = [verdict["state"] for verdict in self.verdicts.values()]
        counts = ", ".join(f"{states.count(s)} {s.replace('_', ' ')}" for s in dict.fromkeys(states))
        return f"<Study of {self.result['model']['architecture']}: {counts}>"


def read(path: Path | str) -> Study:
    """Read a stored analysis.

    Args:
        path: a `result.json`, or the folder that holds it.

    Raises:
        ResultError: it is missing, truncated, of another schema version, or invalid.
    """
    path = Path(path)
    return Study(read_result(path / "result.json" if path.is_dir() else path))
