"""A network beside the paper's: each unit among the spiral references, and the refinement test on the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from resnet_diffeo_probe.analysis.result.part_check import validate_part
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, basis_of
from resnet_diffeo_probe.flows.studies.refinement import refinement_test
from resnet_diffeo_probe.inputs import Inputs
from resnet_diffeo_probe.references import compare
from resnet_diffeo_probe.references.compare import measures_from_rows
from resnet_diffeo_probe.units import Discovery

__all__ = ["references_json", "refinement_json"]

# The refinement test runs the network some dozens of times: on this many inputs at most, at so many at a time.
_REFINED_INPUTS = 200
_REFINED_BATCH = 20


def references_json(
    units: Iterable[Mapping[str, Any]], measurements: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Place every measured unit among the units of the four spiral networks.

    Args:
        units: objects of `units` of a result.
        measurements: its rows.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in measurements:
        rows.setdefault(row["unit"], []).append(row)
    places = []
    for unit in units:
        if unit["done"]:
            measures = measures_from_rows(unit["name"], unit["dimension"], rows.get(unit["name"], ()))
            places.append(compare(measures).to_json())
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
        "refinement test",
        f"{count} inputs",
        basis_of(inputs=x, labels=labels, batch=size),
        lambda: [found.to_json() for found in refinement_test(discovery, x.split(size), labels=labels)],
        lambda rows: validate_part("refinement", rows),
    )
    return rows
