"""Proofs after the measures: from the signs at the inputs to pairs, certificates and radii, unit by unit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.analysis.measuring.finishing import finish_each
from resnet_diffeo_probe.analysis.measuring.interrupt import Unfinished
from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.measuring.worker import one_thread
from resnet_diffeo_probe.analysis.planning.plan import UnitPlan
from resnet_diffeo_probe.analysis.planning.quantities import DETAILED, Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.steps.kept_proofs import (
    pair_content,
    pair_from,
    proofs_content,
    proofs_from,
)
from resnet_diffeo_probe.analysis.steps.provable import unproven
from resnet_diffeo_probe.analysis.steps.result_parts import certificates_json, pixel_pair_json
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.analysis.store.fingerprint import input_fingerprint
from resnet_diffeo_probe.analysis.store.kept_steps import Content, UnusableError, basis_of
from resnet_diffeo_probe.bijectivity import Proofs, Witness, prove
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair, pixel_pair
from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.units import Discovery

__all__ = ["PAIR", "PROOFS", "is_costly", "pair_in_pixels", "prove_units", "witnesses_of"]

# Their names in the store.
(_PROOFS,), (_PAIR,) = step_names.PROOFS.kept, step_names.PAIR.kept
# The search for a pair factorises some dozens of Jacobians: where one costs more, only the full budget searches. By
# counted operations, some seconds of one core: a clock would make the result depend on what else the machine does.
_COSTLY_GIGAFLOPS = 150.0
# Inputs of each sign that a search may start from, and the memory that the inputs of all units may take together.
_PER_SIGN = 12
_INPUT_BYTES = 1e9


def prove_units(context: Context) -> dict[str, Proofs]:
    """Look for witnesses and certificates of every measured unit; new findings join the measured rows.

    Args:
        context: the exact network in float64; what was measured, which the findings are added to in place; of the
            inputs only those that a search starts from are read. The user's network is copied before it is run in
            float64. The proofs of each unit are kept as they are found, and found again.

    Returns:
        The proofs of each unit that was searched.

    Raises:
        Unfinished: an interrupt ended the search; it holds the proofs of the units that were done.
        StoreError: what is kept cannot be read or written.
    """
    plan, measured, inputs, kept = context.plan, context.measured, context.batch, context.kept
    module, events = context.loaded.module, context.execution.events
    why_not = {p.unit.name: unproven(p, measured.rows[p.unit.name]) for p in plan.units}
    searched = [
        p
        for p in plan.units
        if p.jacobian is not None
        and why_not[p.unit.name] is None
        and (_has_sign(measured.rows[p.unit.name]) or _details_every_input(plan.settings))
        and (plan.settings.budget is Budget.FULL or not is_costly(p))
    ]
    chosen = _chosen_inputs(searched, measured, inputs.names, plan.settings)
    bases = _bases(searched, measured, inputs, chosen, plan.settings)
    found: dict[str, Proofs] = {}
    with one_thread():
        own = _own(module)
        for unit_plan in searched:
            name = unit_plan.unit.name

            def read(content: Content, p: UnitPlan = unit_plan) -> Proofs:
                assert p.jacobian is not None  # noqa: S101 - only such units are searched
                return proofs_from(content, p.unit, chosen[p.unit.name], own, jacobian=p.jacobian)

            if (known := kept.find(_PROOFS, name, bases[name], read)) is not None:
                found[name] = known
        missing = [p for p in searched if p.unit.name not in found]
        at = _unit_inputs(context.exact, missing, inputs, chosen)

    def prove_one(unit_plan: UnitPlan) -> tuple[str, Proofs, Content | None]:
        name = unit_plan.unit.name
        alone = _own(module)  # to be run by this thread alone
        proofs = _prove_unit(unit_plan, measured, at[name], chosen[name], alone, plan.settings)
        return name, *_settled(proofs, unit_plan, chosen[name], alone)

    def done(result: tuple[str, Proofs, Content | None]) -> None:
        name, found[name], content = result
        if content is not None:
            kept.keep(_PROOFS, name, bases[name], content)
        events.proven(name)

    stop = context.execution.stop
    finished = finish_each(missing, prove_one, done, threads=plan.settings.threads, stop=stop)
    for name, proofs in found.items():
        for input_name, findings in proofs.findings.items():
            asked_for = plan.settings.measures or findings
            measured.rows[name][input_name] |= {q: f for q, f in findings.items() if q in asked_for}
    for name, reason in why_not.items():
        if reason is not None and (lost := DETAILED & set(plan.settings.quantities)):
            for row in measured.rows[name].values():
                row.update(dict.fromkeys(lost - row.keys(), Finding.missing(Status.OTHER_FUNCTION, reason)))
    in_order = {p.unit.name: found[p.unit.name] for p in searched if p.unit.name in found}
    if not finished:
        raise Unfinished(in_order)
    return in_order


def pair_in_pixels(context: Context) -> PixelPair | NoPixelPair | None:
    """Look for two images near the first input with the same features.

    Args:
        context: the exact network in float64, and the user's own, copied before it is run in float64; of the inputs
            the first is looked at. The pair is kept, and found again.

    Returns:
        The pair, or why there is none; None where the input is not finite.
    """
    discovery, kept = context.exact, context.kept
    x, name = context.batch.part(0, 1), context.batch.names[0]
    basis = basis_of(input=x, name=name)
    x = x.double()
    if not bool(torch.isfinite(x).all()):
        return None
    own = _own(context.loaded.module)

    def read(content: Content) -> PixelPair | NoPixelPair:
        return pair_from(content, discovery, x, own)

    try:
        with one_thread():
            if (known := kept.find(_PAIR, name, basis, read)) is not None:
                return known
            found = pixel_pair(discovery, x, module=own, seed=context.settings.seed, name=name)
            content = pair_content(found)
            found = read(content)  # as it would be found again
    except UnusableError:
        return found
    except (RuntimeError, ValueError, MemoryError) as error:
        lines = str(error).splitlines() or [""]
        return NoPixelPair(f"the search failed: {type(error).__name__}: {lines[0]}")
    kept.keep(_PAIR, name, basis, content)
    return found


def witnesses_of(proofs: dict[str, Proofs]) -> tuple[Witness, ...]:
    """Return the pairs of all units, in network order."""
    return tuple(witness for of_unit in proofs.values() for witness in of_unit.witnesses)


def _values(proofs: dict[str, Proofs]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    witnesses = [{"unit": witness.unit, **witness.to_json()} for witness in witnesses_of(proofs)]
    return witnesses, certificates_json(proofs)


PROOFS: Step[dict[str, Proofs]] = Step(
    step_names.PROOFS,
    wanted=lambda settings: settings.proves,
    run=prove_units,
    nothing=dict,
    values=_values,
)
PAIR: Step[PixelPair | NoPixelPair | None] = Step(
    step_names.PAIR,
    wanted=lambda settings: settings.proves and settings.budget is Budget.FULL,
    run=pair_in_pixels,
    nothing=lambda: None,
    values=lambda found: (pixel_pair_json(found),),
)


def _own(module: nn.Module) -> nn.Module | None:
    """Return the user's network in float64; None for a compiled program, which can be neither copied nor converted."""
    try:
        return copy.deepcopy(module).double().eval()
    except (RuntimeError, NotImplementedError, TypeError):
        return None


def _prove_unit(
    unit_plan: UnitPlan,
    measured: Measured,
    inputs: Tensor,
    names: tuple[str, ...],
    module: nn.Module | None,
    settings: Settings,
) -> Proofs:
    unit, jacobian = unit_plan.unit, unit_plan.jacobian
    assert jacobian is not None  # noqa: S101 - only such units are searched
    rows: Mapping[str, Mapping[str, Finding]] = measured.rows[unit.name]
    detailed = len(names) if _details_every_input(settings) else min(1, len(names))
    return prove(
        unit,
        jacobian,
        inputs,
        names,
        rows,
        activation=unit.activation_record,
        module=module,
        detailed_inputs=detailed,
        seed=settings.seed,
    )


def _settled(
    proofs: Proofs, unit_plan: UnitPlan, names: tuple[str, ...], module: nn.Module | None
) -> tuple[Proofs, Content | None]:
    """Return proofs as they would be found again, and as they are kept; None where something failed in the search.

    A run that finds them and the run that made them so give the same numbers, to the bit.
    """
    content = proofs_content(proofs)
    try:
        assert unit_plan.jacobian is not None  # noqa: S101 - only such units are searched
        again = proofs_from(
            content, unit_plan.unit, names, module, jacobian=unit_plan.jacobian, believed=True
        )
    except (
        UnusableError
    ):  # what rounding alone keeps from being a proof a second time is searched a second time
        return proofs, None
    again.notes = proofs.notes
    return again, None if proofs.notes else content


def _bases(
    searched: list[UnitPlan],
    measured: Measured,
    inputs: Inputs,
    chosen: Mapping[str, tuple[str, ...]],
    settings: Settings,
) -> dict[str, str]:
    """Return for each unit the fingerprint of what its proofs rest on: the images, and what was measured there."""
    images = {
        name: input_fingerprint(inputs.part(index, index + 1))
        for index, name in enumerate(inputs.names)
        if any(name in names for names in chosen.values())
    }
    bases = {}
    for unit in (p.unit.name for p in searched):
        rows = measured.rows[unit]
        at = [[name, images[name], {q: f.to_json() for q, f in rows[name].items()}] for name in chosen[unit]]
        bases[unit] = basis_of(unit=unit, at=at, every=_details_every_input(settings))
    return bases


def _details_every_input(settings: Settings) -> bool:
    return bool(DETAILED & set(settings.quantities))


def _has_sign(rows: Mapping[str, Mapping[str, Finding]]) -> bool:
    return any("sign" in row and row["sign"].status is Status.OK for row in rows.values())


def _chosen_inputs(
    searched: list[UnitPlan], measured: Measured, names: tuple[str, ...], settings: Settings
) -> dict[str, tuple[str, ...]]:
    """Return the inputs that a search starts from: some of either sign, in the order of the inputs."""
    chosen = {}
    for unit_plan in searched:
        name = unit_plan.unit.name
        rows = measured.rows[name]
        room = max(2, int(_INPUT_BYTES / len(searched) / (8 * unit_plan.unit.dimension)))
        if _details_every_input(settings):
            chosen[name] = tuple(n for n in names if n in rows)[:room]
            continue
        per_sign = min(_PER_SIGN, room // 2)
        kept: set[str] = set()
        for sign in (1, -1):
            kept |= set([n for n in names if n in rows and rows[n]["sign"].value == sign][:per_sign])
        chosen[name] = tuple(n for n in names if n in kept)
    return chosen


def _unit_inputs(
    discovery: Discovery,
    searched: list[UnitPlan],
    inputs: Inputs,
    chosen: Mapping[str, tuple[str, ...]],
) -> dict[str, Tensor]:
    """Return for each unit its inputs at the chosen images, one forward pass an image."""
    parts: dict[str, list[Tensor]] = {p.unit.name: [] for p in searched}
    for index, name in enumerate(inputs.names):
        wanted = [p.unit.name for p in searched if name in chosen[p.unit.name]]
        if wanted:
            _, seen = discovery.run(inputs.part(index, index + 1).double())
            for unit in wanted:
                parts[unit].append(seen[unit].input)
    return {unit: torch.cat(found) for unit, found in parts.items() if found}


def is_costly(unit_plan: UnitPlan) -> bool:
    """Return whether one factorisation of a unit costs so much that a search is left to the full budget."""
    return float(unit_plan.about.get("expected_gigaflops") or 0.0) > _COSTLY_GIGAFLOPS
