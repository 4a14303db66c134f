"""Maps over the pixels of where a unit's violation comes from, a handful of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.result.part_check import validate_entry
from resnet_diffeo_probe.analysis.steps.attribution_extent import maps_allowed
from resnet_diffeo_probe.analysis.steps.raster import Pixels, values_picture
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, basis_of
from resnet_diffeo_probe.attribution import (
    Baseline,
    NotAttributableError,
    PixelMap,
    SingularTriple,
    TappedNetwork,
    baseline_input,
    clipped_energy_map,
    log_sigma_min_map,
    narrow_direction_map,
    smallest_triple,
)
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.units import Discovery

__all__ = ["pixel_maps"]

# Its name in the store.
_, _STEP = step_names.ATTRIBUTION.kept
_UNITS = {Budget.STANDARD: 3, Budget.FULL: 4}
_INPUTS = {Budget.STANDARD: 1, Budget.FULL: 3}
# The standard budget factorises once more where that is quick.
_QUICK_GIGAFLOPS = 30.0
_STEPS = 64
# The share of the pixels whose colours are weaker than the strongest one.
_STRONGEST = 0.99
# Sides of a map; of 64 × 64 levels about 4 kB are left.
_SIDE = 64


def pixel_maps(
    discovery: Discovery,
    plan: Plan,
    batch: Inputs,
    units: Sequence[str],
    names: Sequence[str],
    baseline: Baseline,
    kept: KeptSteps,
) -> dict[str, Any]:
    """Return `images`, the inputs that were mapped, and `maps` of the first units at the first inputs.

    Args:
        discovery: the network in the dtype of the plan.
        plan: what was measured of its units.
        batch: the inputs.
        units: names in order of interest.
        names: of the inputs, likewise.
        baseline: where the lines to the inputs start.
        kept: where the maps of each unit at each input are kept, and found again.
    """
    settings = plan.settings
    images: list[dict[str, Any]] = []
    maps: list[dict[str, Any]] = []
    if len(batch.shape) != 3 or batch.shape[1] * batch.shape[2] < 2:
        return {"images": images, "maps": maps}
    network = TappedNetwork(discovery)
    plans = {unit_plan.unit.name: unit_plan for unit_plan in plan.units}
    dtype = getattr(torch, settings.dtype)
    room = maps_allowed(network, batch.part(0, 1).to(dtype), settings.budget, _STEPS)
    units = units[: min(room, _UNITS[settings.budget])]
    for name in names[: max(1, min(room // len(units), _INPUTS[settings.budget]))]:
        index = batch.names.index(name)
        x = batch.part(index, index + 1)
        if pixels := Pixels.of(x, batch.preprocessing):
            images.append({"input": name, "picture": pixels.picture(x).to_json()})
        x = x.to(dtype)
        start = baseline_input(baseline, x, batch.preprocessing)
        for unit in units:
            maps += _kept_maps_at(network, plans[unit], plan, x, start, name, kept)
    return {"images": images, "maps": maps}


def _kept_maps_at(
    network: TappedNetwork,
    unit_plan: UnitPlan,
    plan: Plan,
    x: Tensor,
    start: Tensor,
    name: str,
    kept: KeptSteps,
) -> list[dict[str, Any]]:
    unit, settings = unit_plan.unit.name, plan.settings
    about = {"unit": unit, "name": name, "room": settings.memory}
    failed: list[str] = []
    maps: list[dict[str, Any]] = kept.take(
        _STEP,
        f"{unit} at {name}",
        basis_of(input=x, baseline=start, **about),
        lambda: _maps_at(network, unit_plan, plan, x, start, name, failed),
        _require_maps,
        keeps=lambda: not failed,  # what failed is tried again
    )
    return maps


def _require_maps(maps: Any) -> None:
    for entry in maps:
        validate_entry("attributed_map", entry)


def _maps_at(
    network: TappedNetwork,
    unit_plan: UnitPlan,
    plan: Plan,
    x: Tensor,
    start: Tensor,
    name: str,
    failed: list[str],
) -> list[dict[str, Any]]:
    unit = unit_plan.unit
    about = {"unit": unit.name, "input": name}
    energy = _attempt("clipped_energy", lambda: clipped_energy_map(network, unit, x, start, steps=_STEPS))
    try:
        triple = _triple(network, unit_plan, plan, x)
    except (NotAttributableError, ArithmeticError, RuntimeError) as error:
        reason = getattr(error, "what", None) or str(error).splitlines()[0][:300]
        if isinstance(error, RuntimeError):
            failed.append(reason)
        return [about | energy, about | _none("log_sigma_min", reason)]
    spectral = [_attempt("log_sigma_min", lambda: log_sigma_min_map(network, unit, x, triple))]
    if spectral[0]["picture"] is None:
        spectral.append(_attempt("narrow_direction", lambda: narrow_direction_map(network, unit, x, triple)))
    return [about | energy, *(about | found for found in spectral)]


def _triple(network: TappedNetwork, unit_plan: UnitPlan, plan: Plan, x: Tensor) -> SingularTriple:
    settings, jacobian = plan.settings, unit_plan.jacobian
    if jacobian is None:
        raise NotAttributableError(unit_plan.not_applicable or unit_plan.not_run or "J is not computed")
    if (
        settings.budget is not Budget.FULL
        and unit_plan.about.get("expected_gigaflops", 0.0) > _QUICK_GIGAFLOPS
    ):
        raise NotAttributableError("J is factorised once more for this in the full budget only")
    with torch.no_grad():
        lin = jacobian.at(network.value(x, unit_plan.unit, "input"))
    if lin.factor_bytes() > settings.memory:
        raise NotAttributableError("the factors of J do not fit into the memory allowed")
    factorization = lin.factorize(keep=True)
    if factorization.sign == 0:
        raise NotAttributableError("J is singular here: there are no solves with it")
    return smallest_triple(factorization, seed=settings.seed)


def _attempt(of: str, draw: Callable[[], PixelMap]) -> dict[str, Any]:
    try:
        found = draw()
    except NotAttributableError as error:
        return _none(of, error.what)
    # channels are summed: the sum of the map stays what it splits
    values = found.values.sum(0)
    sizes = values.abs()
    largest, total = float(sizes.max()), float(sizes.sum())
    if not 0 < largest < float("inf"):
        return _none(of, "the map is zero everywhere" if largest == 0 else "the map is not finite")
    # a few pixels stick out far: with their size as the strongest colour the others would be pale
    reach = float(sizes.flatten().quantile(_STRONGEST)) or largest
    ordered = sizes.flatten().sort(descending=True).values.cumsum(0)
    row, column = divmod(int(sizes.argmax()), values.shape[1])
    return {
        "of": of,
        "picture": values_picture(values, -reach, reach, side=_SIDE).to_json(),
        "value": found.value,
        "baseline_value": found.baseline_value,
        "completeness_error": found.completeness_error,
        "numbers": {
            "row": row,
            "column": column,
            "greatest": float(values[row, column]),
            "positions": values.numel(),
            "positions_with_half": min(int((ordered < total / 2).sum()) + 1, values.numel()),
        },
        "reason": None,
    }


def _none(of: str, reason: str) -> dict[str, Any]:
    return {
        "of": of,
        "picture": None,
        "value": None,
        "baseline_value": None,
        "completeness_error": None,
        "numbers": None,
        "reason": reason,
    }
