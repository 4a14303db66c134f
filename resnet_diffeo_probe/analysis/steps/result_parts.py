"""The parts of `result.json`, from what was planned and measured."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import torch

from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning.plan import UnitPlan
from resnet_diffeo_probe.analysis.planning.provenance import Provenance
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.bijectivity import Proofs
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.models import LoadedModel
from resnet_diffeo_probe.units import Discovery
from resnet_diffeo_probe.version import __version__

__all__ = [
    "certificates_json",
    "configuration_of",
    "environment_of",
    "inputs_json",
    "measured_inputs",
    "model_json",
    "pixel_pair_json",
    "rows_json",
    "tool_json",
    "unit_json",
    "unit_rows",
]

# What has no number because something went wrong.
_BROKEN = (Status.NOT_RUN, Status.ERROR)


def tool_json(
    settings: Settings, provenance: Provenance, started: datetime, seconds: float
) -> dict[str, Any]:
    """Return the object `tool`: what made the result, when, how."""
    return {
        "name": "diffeo-probe",
        "version": __version__,
        "command": provenance.command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "seed": settings.seed,
        "dtype": settings.dtype,
        "device": settings.device,
        "configuration": dict(provenance.configuration or configuration_of(settings)),
        "environment": environment_of(settings),
    }


def model_json(loaded: LoadedModel, discovery: Discovery, at_inputs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the object `model`; `at_inputs` are notes that only a look at every input gave."""
    return {
        "file": loaded.path.name,
        "sha256": loaded.sha256 or None,
        "format": loaded.format,
        "architecture": loaded.architecture,
        "architecture_assumed": loaded.architecture_assumed,
        "parameters": loaded.parameters,
        "num_classes": loaded.num_classes,
        "notes": [*loaded.notes, *discovery.notes, *at_inputs],
        "rejected_sums": [{"name": r.name or "the network", "reason": r.reason} for r in discovery.rejected],
    }


def inputs_json(batch: Inputs, correct: tuple[int, int] | None) -> dict[str, Any]:
    """Return the object `inputs`; `correct` is (correct, total) or None."""
    pre = batch.preprocessing
    size = list(pre.size) if isinstance(pre.size, tuple) else pre.size
    return {
        "source": batch.source,
        "kind": batch.kind,
        "count": len(batch.names),
        "shape": list(batch.shape),
        "names": list(batch.names),
        "labels": None if batch.labels is None else list(batch.labels),
        "preprocessing": {
            "mean": list(pre.mean) or None,
            "std": list(pre.std) or None,
            "size": size,
            "preset": pre.preset,
        },
        "seed": batch.seed if batch.kind == "synthetic" else None,
        "accuracy": None if correct is None else {"correct": correct[0], "total": correct[1]},
        "skipped": [{"name": name, "reason": reason} for name, reason in batch.skipped],
    }


def unit_json(unit_plan: UnitPlan, measured: Measured, batch: Inputs) -> dict[str, Any]:
    """Return one object of `units`: what was planned and what became of it."""
    unit = unit_plan.unit
    planned = 0 if unit_plan.not_run is not None or unit_plan.not_applicable is not None else len(batch.names)
    rows = measured.rows[unit.name]
    done = measured_inputs(unit_plan, measured)
    reason = unit_plan.not_applicable or unit_plan.not_run
    if unit_plan.not_applicable is not None:
        status = "not_applicable"
    elif unit_plan.not_run is not None or done == 0:
        status = "not_run"
    else:
        status = "complete" if done == planned else "partial"
    if reason is None and done < planned:
        reason = next((f.reason for row in rows.values() for f in row.values() if f.status in _BROKEN), None)
        reason = reason or "the run was interrupted"
    return {
        "name": unit.name,
        "index": unit.index,
        "shortcut": unit.shortcut,
        "activation": unit.activation,
        "input_shape": list(unit.input_shape),
        "output_shape": list(unit.output_shape),
        "dimension": unit.dimension,
        "status": status,
        "reason": reason,
        "plan": unit_plan.about or None,
        "seconds": round(measured.seconds[unit.name], 3),
        "planned": planned,
        "done": done,
    }


def measured_inputs(unit_plan: UnitPlan, measured: Measured) -> int:
    """Return at how many inputs a unit was measured and nothing failed."""
    if unit_plan.not_applicable is not None:
        return 0
    rows = measured.rows[unit_plan.unit.name].values()
    return sum(1 for row in rows if not any(f.status in _BROKEN for f in row.values()))


def rows_json(measured: Measured) -> list[dict[str, Any]]:
    """Return `measurements`, one number a row."""
    return [row for unit in measured.rows for row in unit_rows(unit, measured)]


def unit_rows(unit: str, measured: Measured) -> Iterator[dict[str, Any]]:
    """Yield the rows of `measurements` of one unit."""
    for name, row in measured.rows[unit].items():
        for quantity, finding in row.items():
            yield {"unit": unit, "input": name, "quantity": quantity, **finding.to_json()}


def certificates_json(proofs: Mapping[str, Proofs]) -> list[dict[str, Any]]:
    """Return the bound of each unit's Lipschitz constant, and the balls that were certified around inputs."""
    found: list[dict[str, Any]] = []
    for unit, proven in proofs.items():
        if proven.certificate is not None:
            certificate = proven.certificate
            about = {"unit": unit, "scope": "global", "input": None, "holds": certificate.holds}
            found.append(about | certificate.to_json() | {"arithmetic": certificate.arithmetic})
        for name, balls in proven.balls.items():
            for ball in balls:
                about = {"unit": unit, "scope": "local", "input": name, "holds": ball.radius != 0}
                found.append(about | ball.to_json())
    return found


def pixel_pair_json(found: PixelPair | NoPixelPair | None) -> dict[str, Any] | None:
    """Return the pair of images, or an object with the reason why there is none."""
    if found is None:
        return None
    return {"is_proof": False, "reason": found.reason} if isinstance(found, NoPixelPair) else found.to_json()


def configuration_of(settings: Settings) -> dict[str, Any]:
    """Return the settings as a flat object."""
    return {
        "units": list(settings.units),
        "measures": list(settings.quantities),
        "budget": settings.budget.value,
        "dtype": settings.dtype,
        "device": settings.device,
        "seed": settings.seed,
        "workers": settings.threads,
        "threads_per_worker": settings.threads_per_worker,
        "max_bytes": settings.memory,
        "baseline": settings.baseline.value,
    }


def environment_of(settings: Settings) -> dict[str, Any]:
    """Return versions and machine."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "workers": settings.threads,
    }
