"""From a model and inputs to a study, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import Tensor, nn

from resnet_diffeo_probe.analysis.analyze import analyze as analyze_model
from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold, read_thresholds, require_units
from resnet_diffeo_probe.analysis.events import Events, Progress
from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.planning.provenance import Provenance
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.store.store import FILE, Store
from resnet_diffeo_probe.attribution import Baseline
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.models import LoadedModel, load
from resnet_diffeo_probe.nearest import nearest
from resnet_diffeo_probe.notebook.study import Study

__all__ = ["Options", "analyze"]


class Options(TypedDict, total=False):
    """What to measure and how.

    Attributes:
        budget: `"quick"`, `"standard"` or `"full"`: how much is measured; standard if left out.
        units: shell patterns of the units to analyse; none for all.
        measures: quantities instead of the budget's.
        dtype: `"float64"` or `"float32"`, of everything that is computed; proofs are made in float64 alone.
        device: where Jacobians are eliminated: `"cpu"`, `"cuda"`, `"cuda:N"`, or `"auto"`.
        seed: of start vectors and random checks.
        baseline: `"zero"` or `"black"`: what inputs are compared with by the attribution.
        workers: threads that measure at the same time; None for one a core.
        threads_per_worker: of the linear algebra of each.
        max_memory: GiB that the factors of all measurements in progress may take; None for three quarters of the
            machine's.
    """

    budget: Budget | str
    units: Sequence[str]
    measures: Sequence[str]
    dtype: str
    device: str
    seed: int
    baseline: Baseline | str
    workers: int | None
    threads_per_worker: int
    max_memory: float | None


def analyze(
    model: LoadedModel | nn.Module | Path | str,
    inputs: Inputs | Tensor,
    settings: Settings | None = None,
    *,
    thresholds: Path | str | Iterable[Threshold] | None = None,
    store: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[Options],
) -> Study:
    """Measure every residual unit of a network at every input and judge them.

    The model is not changed: weights, buffers, mode, hooks and random state are as before.

    Args:
        model: any module, or a file that `load` takes.
        inputs: (N, *shape), already preprocessed; or what `read_inputs` returns.
        settings: what to measure and how, as one object; None: the defaults. Options change it.
        thresholds: limits that are stored and shown with the numbers: a TOML file, or what `read_thresholds` returns;
            None: the defaults.
        store: a folder where everything is committed as it is measured. What is there already of this model, these
            inputs and these settings is not measured again: after an interrupt, the same call goes on. None: nowhere.
        progress: called after each unit and input.
        options: those of `Options` by name: budget, units, measures, dtype, device, seed, baseline, workers,
            threads_per_worker, max_memory.

    Raises:
        NoUnitError: no residual unit was found.
        ConfigurationError: there is no such option, or the settings ask for what does not exist.
        InputsError: the inputs do not fit the model.
        LoadError: the file cannot be made into a module.
        StoreError: the store cannot be read or written, or another process is at work in it.

    Warns:
        UserWarning: nothing of what the store holds can be used here; with the reasons.
    """
    asked = _settings(settings or Settings(), dict(options))
    limits = read_thresholds(thresholds) if isinstance(thresholds, str | Path) else thresholds
    limits = None if limits is None else tuple(limits)
    loaded = load(model) if isinstance(model, str | Path) else model
    with _opened(store) as opened:
        execution = Execution(store=opened, events=_Told(progress, limits))
        analysis = analyze_model(
            loaded, inputs, asked, execution=execution, provenance=Provenance(thresholds=limits)
        )
    return Study(analysis.result, analysis)


@contextmanager
def _opened(folder: Path | str | None) -> Iterator[Store | None]:
    if folder is None:
        yield None
        return
    folder = Path(folder).expanduser()
    with Store(folder, resume=(folder / FILE).exists()) as store:
        yield store


class _Told(Events):
    def __init__(
        self, progress: Callable[[Progress], None] | None, limits: tuple[Threshold, ...] | None
    ) -> None:
        self._progress = progress
        self._limits = limits

    def planned(self, plan: Plan) -> None:
        require_units(self._limits or (), [planned.unit.name for planned in plan.units])

    def discarded(self, reasons: list[str]) -> None:
        warnings.warn(
            f"what the store holds cannot be used, and all is measured again: {'; '.join(reasons)}",
            UserWarning,
            stacklevel=4,  # the call of `analyze` above
        )

    def measured(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)


def _settings(settings: Settings, options: dict[str, Any]) -> Settings:
    """Return settings with some of them changed.

    Raises:
        ConfigurationError: there is no such option, budget, baseline or measure.
    """
    known = Options.__annotations__
    if unknown := [name for name in options if name not in known]:
        near = nearest(unknown[0], known)
        raise ConfigurationError(
            f"there is no option '{unknown[0]}'",
            why=f"there are {', '.join(known)}",
            fix=f"did you mean {near}?" if near else f"leave {unknown[0]} out",
            code="unknown-option",
        )
    if "max_memory" in options:
        gib = options.pop("max_memory")
        options["max_bytes"] = None if gib is None else gib * 2**30
    for name in ("units", "measures"):
        if name in options:
            options[name] = tuple(options[name])
    if "budget" in options:
        options["budget"] = _budget(options["budget"])
    if "baseline" in options:
        options["baseline"] = _baseline(options["baseline"])
    return replace(settings, **options)


def _budget(name: Budget | str) -> Budget:
    try:
        return Budget(name)
    except ValueError as error:
        raise ConfigurationError(
            f"there is no budget '{name}'",
            why=f"there are {', '.join(Budget)}",
            fix="budget='standard'",
            code="unknown-budget",
        ) from error


def _baseline(name: Baseline | str) -> Baseline:
    try:
        return Baseline(name)
    except ValueError as error:
        raise ConfigurationError(
            f"there is no baseline '{name}'",
            why=f"there are {', '.join(Baseline)}",
            fix="baseline='zero'",
            code="unknown-baseline",
        ) from error
