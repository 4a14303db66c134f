"""A network beside the paper's: each unit among the spiral references, and the refinement test on the whole."""

from __future__ import annotations

from typing import Any

import torch

from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.result import step_names
from resnet_diffeo_probe.analysis.result.part_check import validate_part
from resnet_diffeo_probe.analysis.steps.result_parts import measured_inputs, unit_rows
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, basis_of
from resnet_diffeo_probe.flows.studies.refinement import refinement_test
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.references import compare
from resnet_diffeo_probe.references.compare import measures_from_rows
from resnet_diffeo_probe.units import Discovery

__all__ = ["REFERENCES", "REFINEMENT", "references_json", "refinement_json"]

# The name of the refinement test in the store.
(_STEP,) = step_names.REFINEMENT.kept
# The refinement test runs the network some dozens of times: on this many inputs at most, at so many at a time.
_REFINED_INPUTS = 200
_REFINED_BATCH = 20


def references_json(plan: Plan, measured: Measured) -> list[dict[str, Any]]:
    """Place every measured unit among the units of the four spiral networks.

    Args:
        plan: the units.
        measured: the numbers, those of the proofs among them.
    """
    places = []
    for unit_plan in plan.units:
        if measured_inputs(unit_plan, measured):
            unit = unit_plan.unit
            # row by row: those of a unit together may be gigabytes
            rows = unit_rows(unit.name, measured)
            places.append(compare(measures_from_rows(unit.name, unit.dimension, rows)).to_json())
    return places


def refinement_json(
    discovery: Discovery, batch: Inputs, num_classes: int | None, kept: KeptSteps
) -> list[dict[str, Any]]:
    """Replace steps by finer integration of the same field and compare the network's answers.

    Args:
        discovery: the network in the user's own arithmetic.
        batch: the inputs.
        num_classes: of the model; where there are as many class folders, accuracy is given too.
        kept: where the rows are kept, and found again.
    """
    size = _REFINED_BATCH if discovery.batch_is_free else 1
    total = len(batch.names)
    count = min(total, _REFINED_INPUTS)
    chosen = [i * total // count for i in range(count)]
    labels = None
    if batch.labels is not None and batch.classes is not None and len(batch.classes) == num_classes:
        index = {name: number for number, name in enumerate(batch.classes)}
        labels = torch.tensor([index[batch.labels[i]] for i in chosen])
    # a few hundred inputs at most are held, since every number of sub-steps runs through them again
    x = torch.cat([batch.part(i, i + 1) for i in chosen])
    rows: list[dict[str, Any]] = kept.take(
        _STEP,
        f"{count} inputs",
        basis_of(inputs=x, labels=labels, batch=size),
        lambda: [found.to_json() for found in refinement_test(discovery, x.split(size), labels=labels)],
        lambda rows: validate_part("refinement", rows),
    )
    return rows


def _references(context: Context) -> list[dict[str, Any]]:
    return references_json(context.plan, context.measured)


def _refinement(context: Context) -> list[dict[str, Any]]:
    return refinement_json(context.discovery, context.batch, context.loaded.num_classes, context.kept)


REFERENCES: Step[list[dict[str, Any]]] = Step(
    step_names.REFERENCES, wanted=lambda _settings: True, run=_references, nothing=list, brief=True
)
REFINEMENT: Step[list[dict[str, Any]]] = Step(
    step_names.REFINEMENT, wanted=lambda settings: settings.refines, run=_refinement, nothing=list
)
