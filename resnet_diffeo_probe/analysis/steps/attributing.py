"""Attribution of predictions and violations as a part of the result: at a few inputs, within a bounded cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.steps.attributed_input import attributed_at
from resnet_diffeo_probe.analysis.steps.attributed_pixels import pixel_maps
from resnet_diffeo_probe.analysis.steps.attribution_extent import extent_of
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.analysis.store.error import StoreError
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps
from resnet_diffeo_probe.attribution import (
    Ablation,
    Baseline,
    Fold,
    NotAttributableError,
    PathAttribution,
    TappedNetwork,
    agreement,
    baseline_input,
    relevance,
)
from resnet_diffeo_probe.bijectivity import State, Verdict
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.units import Discovery

__all__ = ["ATTRIBUTION", "COMPLETENESS_LIMIT", "attribution_json", "folds_of"]

#: A split of a logit whose parts miss the whole by more than this share of it is not complete.
COMPLETENESS_LIMIT = 0.05


def attribution_json(
    discovery: Discovery,
    exact: Discovery,
    plan: Plan,
    verdicts: Sequence[Verdict],
    batch: Inputs,
    kept: KeptSteps,
) -> dict[str, Any]:
    """Return the object `attribution` of a result; a network without logits, say, gets a reason why there is none.

    Args:
        discovery: the network in the user's own arithmetic: what carries its predictions.
        exact: in the dtype of the plan: what clips and narrows.
        plan: what was measured.
        verdicts: of the units.
        batch: the inputs.
        kept: where what was found at each input, and each map, is kept and found again.
    """
    settings, baseline = plan.settings, plan.settings.baseline
    about = {
        "library": f"captum {metadata.version('captum')}",
        "baseline": {"name": baseline.value, "meaning": baseline.meaning},
        "completeness_limit": COMPLETENESS_LIMIT,
    }
    parts: dict[str, Any] = {
        "reason": None,
        "inputs": [],
        "rows": [],
        "units": [],
        "agreement": None,
        "relevance": None,
        "images": [],
        "maps": [],
    }
    # a network may draw random numbers in its forward pass: the user's stream goes on where it was
    with torch.random.fork_rng(devices=[]):
        found, reason = _attempt(
            lambda: _attributed(discovery, verdicts, batch, settings.budget, baseline, kept)
        )
        parts |= found
        units, names = _mapped(parts, plan, verdicts, batch)
        maps, no_maps = _attempt(lambda: pixel_maps(exact, plan, batch, units, names, baseline, kept))
    return about | parts | maps | {"reason": reason, "maps_reason": no_maps}


def _run(context: Context) -> dict[str, Any] | None:
    verdicts, batch, kept = context.verdicts, context.batch, context.kept
    return attribution_json(context.discovery, context.exact, context.plan, verdicts, batch, kept)


ATTRIBUTION: Step[dict[str, Any] | None] = Step(
    step_names.ATTRIBUTION, wanted=lambda settings: settings.refines, run=_run, nothing=lambda: None
)


def _attempt(compute: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str | None]:
    """Return the parts, or why there are none: whatever a network does when it is differentiated, its numbers stand."""
    try:
        return compute(), None
    except StoreError:
        raise
    except DiffeoProbeError as error:
        return {}, error.what
    except Exception as error:
        return {}, f"{type(error).__name__}: {error}".splitlines()[0][:300]


def folds_of(verdicts: Sequence[Verdict]) -> dict[str, Fold]:
    """Return what is known of the fold of each judged unit's sum map; units without a certain sign are left out."""
    folds = {}
    for verdict in verdicts:
        if verdict.map != "sum" or verdict.unit is None:
            continue
        counts = verdict.counts or {}
        if verdict.state is State.NOT_INJECTIVE_PROVEN:
            folds[verdict.unit] = Fold.PROVEN
        elif counts.get("negative"):
            folds[verdict.unit] = Fold.NEGATIVE
        elif counts.get("positive") or verdict.state is State.CERTIFIED_INJECTIVE:
            folds[verdict.unit] = Fold.NOT_SEEN
    return folds


def negative_shares_of(verdicts: Sequence[Verdict], units: Iterable[str]) -> dict[str, float]:
    """Return for each of these units the share of negative signs among its certain ones; 0 without any."""
    shares = dict.fromkeys(units, 0.0)
    for verdict in verdicts:
        if verdict.map == "sum" and verdict.unit in shares and verdict.counts:
            certain = verdict.counts["positive"] + verdict.counts["negative"]
            shares[verdict.unit] = verdict.counts["negative"] / max(1, certain)
    return shares


def _attributed(
    discovery: Discovery,
    verdicts: Sequence[Verdict],
    batch: Inputs,
    budget: Budget,
    baseline: Baseline,
    kept: KeptSteps,
) -> dict[str, Any]:
    network = TappedNetwork(discovery)
    extent = extent_of(network, batch, budget)
    found: list[tuple[PathAttribution, Sequence[Ablation]]] = []
    inputs, rows = [], []
    for index in extent.inputs:
        name, x = batch.names[index], batch.part(index, index + 1)
        at = attributed_at(network, name, x, baseline_input(baseline, x, batch.preprocessing), extent, kept)
        if isinstance(at, str):
            inputs.append(_failed(name, at))
            continue
        path, lost = at.path, at.ablations
        found.append((path, lost))
        inputs.append(_input_json(name, path, at.probability))
        rows += [_row_json(name, path, place, lost[place]) for place in range(len(network.units))]
    if not found:
        raise NotAttributableError(inputs[0]["reason"] if inputs else "there is no input")
    folds = folds_of(verdicts)
    complete = [(path, lost) for path, lost in found if _is_complete(path, folds)]
    by_unit = [{unit.unit: unit.branch for unit in path.units} for path, _ in complete]
    drops = [{ablation.unit: ablation.logit_drop for ablation in lost} for _, lost in complete]
    ranks = agreement(
        [[unit.branch for unit in path.units] for path, _ in found],
        [[ablation.logit_drop for ablation in lost] for _, lost in found],
    )
    judged = relevance(
        folds, negative_shares_of(verdicts, folds), by_unit, drops, left_out=len(found) - len(complete)
    )
    return {
        "inputs": inputs,
        "rows": rows,
        "units": [_unit_json(unit.name, rows) for unit in network.units],
        "agreement": {
            "correlations": list(ranks.correlations),
            "median": ranks.median,
            "units": ranks.units,
            "reason": ranks.reason,
        },
        "relevance": {
            "state": judged.state,
            "sentence": judged.sentence,
            "folding": list(judged.folding),
            "compared": list(judged.compared),
            "by_number": judged.by_number,
            "by_conductance": list(judged.by_conductance),
            "by_ablation": list(judged.by_ablation),
            "by_frequency": list(judged.by_frequency),
        },
    }


def _is_complete(path: PathAttribution, units: Mapping[str, Any] | None = None) -> bool:
    """Return whether the parts make the whole at every unit, or at every one of those that are named."""
    return all(
        path.share(unit, limit=COMPLETENESS_LIMIT) is not None
        for unit in path.units
        if not units or unit.unit in units
    )


def _input_json(name: str, path: PathAttribution, probability: float) -> dict[str, Any]:
    worst = max((abs(unit.completeness_error) for unit in path.units), default=0.0)
    return {
        "input": name,
        "predicted": path.target,
        "probability": probability,
        "logit": path.logit,
        "baseline_logit": path.baseline_logit,
        "steps": path.steps,
        "largest_error": worst,
        "complete": _is_complete(path),
        "reason": None,
    }


def _failed(name: str, reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("predicted", "probability", "logit", "baseline_logit", "steps", "largest_error"), None
    )
    return {"input": name, **nothing, "complete": False, "reason": reason}


def _row_json(name: str, path: PathAttribution, place: int, lost: Ablation) -> dict[str, Any]:
    unit = path.units[place]
    return {
        "unit": unit.unit,
        "input": name,
        "branch": unit.branch,
        "total": unit.total,
        "completeness_error": unit.completeness_error,
        "share": path.share(unit, limit=COMPLETENESS_LIMIT),
        "logit_drop": lost.logit_drop,
        "probability_without": lost.probability,
        "predicted_without": lost.predicted,
        "class_changes": None if lost.predicted is None else lost.predicted != path.target,
    }


def _unit_json(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise one unit over the inputs."""
    own = [row for row in rows if row["unit"] == name]
    changes = [row["class_changes"] for row in own if row["class_changes"] is not None]
    return {
        "unit": name,
        "inputs": len(own),
        "share": _spread(row["share"] for row in own),
        "branch": _spread(row["branch"] for row in own),
        "logit_drop": _spread(row["logit_drop"] for row in own),
        "completeness_error": max(abs(row["completeness_error"]) for row in own),
        "class_changes": sum(changes) if changes else None,
    }


def _spread(values: Iterator[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {
        "median": statistics.median(known),
        "least": min(known),
        "greatest": max(known),
        "count": len(known),
    }


def _mapped(
    parts: Mapping[str, Any], plan: Plan, verdicts: Sequence[Verdict], batch: Inputs
) -> tuple[list[str], list[str]]:
    """Return units and inputs in the order in which they are worth a map.

    Units that fold come first, then those that carry more; of the inputs those with a complete attribution.
    """
    folds = folds_of(verdicts)
    carried = {unit["unit"]: abs(unit["branch"]["median"]) for unit in parts["units"]}
    names = [p.unit.name for p in plan.units]

    def worth(name: str) -> tuple[bool, bool, float]:
        fold = folds.get(name, Fold.NOT_SEEN)
        return fold is not Fold.PROVEN, fold is Fold.NOT_SEEN, -carried.get(name, 0.0)

    inputs = sorted(parts["inputs"], key=lambda entry: not entry["complete"])
    return sorted(names, key=worth), [entry["input"] for entry in inputs] or list(batch.names)
