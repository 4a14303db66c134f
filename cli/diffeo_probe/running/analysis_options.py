"""The options of an analysis as one record: as typed, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffeo_probe.running.workers import Workforce

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.planning.settings import Settings

__all__ = ["AnalysisOptions"]


@dataclass(frozen=True)
class AnalysisOptions:
    """What `diffeo-probe analyze` was asked for; a field is the option of that name, as its help describes it."""

    arch: str | None = None
    trust_pickle: bool = False
    inputs: str = "synthetic"
    count: int | None = None
    labels: str = "folders"
    preset: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | tuple[int, int] | None = None
    units: tuple[str, ...] = ()
    measures: str | None = None
    budget: str = "standard"
    dtype: str = "float64"
    device: str = "cpu"
    seed: int = 0
    baseline: str = "zero"
    workforce: Workforce = field(default_factory=Workforce)
    max_memory: float | None = None
    out: str | None = None
    overwrite: bool = False
    resume: bool = False
    thresholds: str | None = None
    fail_on: str = "never"

    @classmethod
    def of(cls, options: dict[str, Any]) -> AnalysisOptions:
        """Return the record of a command's options; those of the workforce are taken out of them."""
        return cls(workforce=Workforce.taken_from(options), **options)

    def settings(self) -> Settings:
        """Return what they ask of the measuring.

        Raises:
            ConfigurationError: for what does not exist.
        """
        from resnet_diffeo_probe.analysis.planning.quantities import Budget
        from resnet_diffeo_probe.analysis.planning.settings import Settings
        from resnet_diffeo_probe.attribution import Baseline

        return Settings(
            units=self.units,
            measures=tuple(m.strip() for m in self.measures.split(",")) if self.measures else (),
            budget=Budget(self.budget),
            dtype=self.dtype,
            seed=self.seed,
            workers=self.workforce.workers,
            threads_per_worker=self.workforce.threads_per_worker or 1,
            max_bytes=None if self.max_memory is None else self.max_memory * 2**30,
            baseline=Baseline(self.baseline),
            device=self.device,
        )

    def in_both_records(self, model: str) -> dict[str, Any]:
        """Return the options that stand in run.toml and in the result alike, as JSON and TOML have them."""
        return {
            "model": model,
            "arch": self.arch,
            "inputs": self.inputs,
            "count": self.count,
            "labels": self.labels,
            "preset": self.preset,
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
            "size": list(self.size) if isinstance(self.size, tuple) else self.size,
            "units": list(self.units),
            "budget": self.budget,
            "dtype": self.dtype,
            "device": self.device,
            "seed": self.seed,
            "baseline": self.baseline,
            "thresholds": self.thresholds,
            "fail_on": self.fail_on,
        }

    def to_go_on_with(self, model: str) -> dict[str, Any]:
        """Return the options for run.toml: as typed.

        Consent to run a file's code is given by whoever runs it, and not by a file.
        """
        as_typed = {"measures": self.measures, "max_memory": self.max_memory, **self.workforce.given()}
        return self.in_both_records(model) | as_typed

    def configuration(self, model: str, settings: Settings) -> dict[str, Any]:
        """Return the options for the result: as used."""
        return (
            self.in_both_records(model)
            | self.workforce.given()
            | {
                "trust_pickle": self.trust_pickle,
                "measures": list(settings.quantities),
                "workers": settings.threads,
                "max_memory_gib": round(settings.memory / 2**30, 2),
            }
        )
