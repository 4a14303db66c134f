"""The maps among the pictures: which units at which inputs, drawn in threads, those that take a factorisation kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from resnet_diffeo_probe.analysis.measuring.admission import Admission
from resnet_diffeo_probe.analysis.measuring.finishing import finish_each
from resnet_diffeo_probe.analysis.measuring.interrupt import Unfinished
from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning.plan import Plan, UnitPlan
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.result.part_check import validate_entry
from resnet_diffeo_probe.analysis.steps.proving import is_costly
from resnet_diffeo_probe.analysis.steps.spatial import (
    SpatialMap,
    clipped_map,
    fold_normal_map,
    singular_vector_map,
)
from resnet_diffeo_probe.analysis.steps.step import Context
from resnet_diffeo_probe.analysis.store.fingerprint import input_fingerprint
from resnet_diffeo_probe.analysis.store.kept_steps import Content, basis_of
from resnet_diffeo_probe.bijectivity import Witness
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.units import UnitActivations

__all__ = ["is_spatial", "map_places", "spatial_maps"]

# Its name in the store.
(_STEP,) = step_names.PICTURES.kept
# Units with maps: the picture of a deep network stays a picture.
_MAPPED_UNITS = 16
# One factorisation more for every so many measurements, and no more than so many.
_MEASUREMENTS_EACH, _MOST_VECTORS = 3, 24


def map_places(units: Sequence[UnitPlan], measured: Measured) -> list[tuple[UnitPlan, str]]:
    """Return which units are mapped at which inputs: each at the first one, and where it is nearest to singular."""
    mapped = units[:_MAPPED_UNITS]
    first = [(p, next(iter(measured.rows[p.unit.name]))) for p in mapped]
    weakest = [(p, name) for p in mapped if (name := _weakest_input(p.unit.name, measured)) is not None]
    seen = {(p.unit.name, name) for p, name in first}
    return first + [(p, name) for p, name in weakest if (p.unit.name, name) not in seen]


def _weakest_input(unit: str, measured: Measured) -> str | None:
    sizes = {
        name: float(row["sigma_min"].value)
        for name, row in measured.rows[unit].items()
        if "sigma_min" in row and row["sigma_min"].value is not None
    }
    return min(sizes, key=lambda name: sizes[name], default=None)


def spatial_maps(
    context: Context, places: Sequence[tuple[UnitPlan, str]], witnesses: Sequence[Witness]
) -> Iterator[dict[str, Any]]:
    """Yield every map, in the order of the places; one forward pass an input, the units of it in parallel.

    Args:
        context: what was measured; the maps that take a factorisation are kept, and found again.
        places: of `map_places`.
        witnesses: the pairs that were found.

    Raises:
        Unfinished: an interrupt ended the drawing.
        StoreError: what is kept cannot be read or written.
    """
    plan, batch, kept = context.plan, context.batch, context.kept
    seen: dict[str, Mapping[str, UnitActivations]] = {}
    images: dict[str, str] = {}
    for name in dict.fromkeys(name for _, name in places):
        index = batch.names.index(name)
        x = batch.part(index, index + 1).to(getattr(torch, plan.settings.dtype))
        images[name] = input_fingerprint(x)
        needed = {p.unit.name for p, at in places if at == name}
        seen[name] = {unit: found for unit, found in context.exact.run(x)[1].items() if unit in needed}
    with_vectors = _with_vectors(plan, context.measured, places)
    settings = plan.settings
    admission = Admission(settings.memory)
    drawn: dict[tuple[str, str], list[dict[str, Any]]] = {}
    bases: dict[tuple[str, str], str] = {}
    for unit_plan, name in places:
        place = unit, _ = unit_plan.unit.name, name
        if with_vectors[place] is None:  # what takes no factorisation is drawn faster than it is read
            about = {"unit": unit, "name": name, "room": settings.memory}
            bases[place] = basis_of(image=images[name], **about)
            known = kept.find(_STEP, f"{unit} at {name}", bases[place], _read)
            if known is not None:
                drawn[place] = known

    def draw(place: tuple[UnitPlan, str]) -> tuple[tuple[str, str], list[SpatialMap]]:
        unit_plan, name = place
        at = unit_plan.unit.name, name
        return at, _at(unit_plan, seen[name][at[0]], with_vectors[at], admission, settings.seed)

    def done(found: tuple[tuple[str, str], list[SpatialMap]]) -> None:
        (unit, name), maps = found
        about = {"unit": unit, "input": name}
        drawn[unit, name] = [about | one.to_json() for one in maps]
        if (unit, name) in bases and not any(one.failed for one in maps):
            kept.keep(_STEP, f"{unit} at {name}", bases[unit, name], Content(drawn[unit, name]))

    missing = [(p, name) for p, name in places if (p.unit.name, name) not in drawn]
    if not finish_each(missing, draw, done, threads=settings.threads, stop=context.execution.stop):
        raise Unfinished(None)
    for unit_plan, name in places:
        yield from drawn[unit_plan.unit.name, name]
    folds = {w.unit: w for w in witnesses if w.map == "sum" and w.is_proof}
    for unit_plan in {p.unit.name: p for p, _ in places}.values():
        jacobian, witness = unit_plan.jacobian, folds.get(unit_plan.unit.name)
        if jacobian is not None and is_spatial(unit_plan.unit.input_shape):
            normal = _attempt("fold_normal", lambda j=jacobian, w=witness: fold_normal_map(j, w))  # type: ignore[misc]
            yield {"unit": unit_plan.unit.name, "input": None} | normal.to_json()


def _read(content: Content) -> list[dict[str, Any]]:
    maps: list[dict[str, Any]] = content.json
    for entry in maps:
        validate_entry("spatial_map", entry)
    return maps


def _with_vectors(
    plan: Plan, measured: Measured, places: Sequence[tuple[UnitPlan, str]]
) -> dict[tuple[str, str], str | None]:
    """Return for each place None where the singular vector is computed, else why it is not.

    A vector costs about one factorisation: a share of what was measured, and none where one factorisation is costly.
    """
    total = sum(len(rows) for rows in measured.rows.values())
    left = min(_MOST_VECTORS, max(1, total // _MEASUREMENTS_EACH))
    reasons: dict[tuple[str, str], str | None] = {}
    for unit_plan, name in places:
        unit = unit_plan.unit.name
        sign = measured.rows[unit][name].get("sign")
        if plan.settings.budget is Budget.QUICK:
            reason: str | None = "not computed in the quick budget"
        elif is_costly(unit_plan) and plan.settings.budget is not Budget.FULL:
            reason = "a second factorisation of this unit costs too much; --budget full computes it"
        elif sign is not None and sign.status in (Status.NOT_RUN, Status.ERROR):
            reason = "the Jacobian was not factorised at this input"
        elif not left:
            reason = "not computed: the vectors would take too large a share of the run's time"
        else:
            reason, left = None, left - 1
        reasons[unit, name] = reason
    return reasons


def _at(
    unit_plan: UnitPlan, seen: UnitActivations, no_vector: str | None, admission: Admission, seed: int
) -> list[SpatialMap]:
    unit, jacobian = unit_plan.unit, unit_plan.jacobian
    assert jacobian is not None  # noqa: S101 - only such units are mapped
    if not is_spatial(unit.input_shape):
        shape = " × ".join(map(str, unit.input_shape))
        reason = f"the unit's input ({shape}) has no height and width"
        return [SpatialMap(kind, None, reason=reason) for kind in ("clipped", "singular_vector")]
    vector = (
        SpatialMap("singular_vector", None, reason=no_vector)
        if no_vector is not None
        else _attempt(
            "singular_vector",
            lambda: singular_vector_map(jacobian, seen.input, admission=admission, seed=seed),
        )
    )
    return [clipped_map(unit, seen), vector]


def _attempt(kind: str, draw: Callable[[], SpatialMap]) -> SpatialMap:
    """Draw a map; whatever goes wrong is its reason, since nothing rests on a picture."""
    try:
        return draw()
    except Exception as error:  # the other pictures go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        return SpatialMap(kind, None, reason=reason, failed=True)


def is_spatial(shape: Sequence[int]) -> bool:
    """Return whether a shape without batch has a height and a width of more than one position."""
    return len(shape) == 3 and shape[1] * shape[2] > 1
