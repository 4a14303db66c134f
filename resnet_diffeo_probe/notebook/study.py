"""A stored or fresh analysis as one object: verdicts, data frames, figures, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from resnet_diffeo_probe.analysis.analyze import Analysis
from resnet_diffeo_probe.analysis.analyze import analyze as analyze_model
from resnet_diffeo_probe.analysis.measuring.run import Progress
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.models import LoadedModel, load
from resnet_diffeo_probe.notebook import figures, frames
from resnet_diffeo_probe.notebook.card import card
from resnet_diffeo_probe.report import render, write_folder

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Study", "analyze", "read"]


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


def analyze(
    model: LoadedModel | nn.Module | Path | str,
    inputs: Inputs | Tensor,
    *,
    budget: Budget | str = Budget.STANDARD,
    units: Sequence[str] = (),
    measures: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    max_memory: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Study:
    """Measure every residual unit of a network at every input and judge them.

    The model is not changed: weights, buffers, mode, hooks and random state are as before.

    Args:
        model: any module, or a file that `load` takes.
        inputs: (N, *shape), already preprocessed; or what `read_inputs` returns.
        budget: `"quick"`, `"standard"` or `"full"`: how much is measured.
        units: shell patterns of the units to analyse; none for all.
        measures: quantities instead of the budget's.
        seed: of start vectors and random checks.
        workers: threads that measure at the same time; None for one a core.
        max_memory: GiB that the factors of all measurements in progress may take; None for three quarters of the
            machine's.
        progress: called after each unit and input.

    Raises:
        NoUnitError: no residual unit was found.
        ConfigurationError: the settings ask for what does not exist.
        InputsError: the inputs do not fit the model.
        LoadError: the file cannot be made into a module.
    """
    settings = Settings(
        units=tuple(units),
        measures=tuple(measures),
        budget=_budget_of(budget),
        seed=seed,
        workers=workers,
        max_bytes=None if max_memory is None else max_memory * 2**30,
    )
    loaded = load(model) if isinstance(model, str | Path) else model
    analysis = analyze_model(loaded, inputs, settings, progress=progress)
    return Study(analysis.result, analysis)


def _budget_of(name: Budget | str) -> Budget:
    """Return a budget by its name.

    Raises:
        ConfigurationError: there is no such budget.
    """
    try:
        return Budget(name)
    except ValueError as error:
        raise ConfigurationError(
            f"there is no budget '{name}'",
            why=f"there are {', '.join(b.value for b in Budget)}",
            fix="budget='standard'",
            code="unknown-budget",
        ) from error


def read(path: Path | str) -> Study:
    """Read a stored analysis.

    Args:
        path: a `result.json`, or the folder that holds it.

    Raises:
        ResultError: it is missing, truncated, of another schema version, or invalid.
    """
    path = Path(path)
    return Study(read_result(path / "result.json" if path.is_dir() else path))
