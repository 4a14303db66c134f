"""The natural way through the house: a model and inputs in, a stored analysis out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.analysis.comparing.gate import is_complete
from resnet_diffeo_probe.analysis.comparing.thresholds import default_thresholds
from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.measuring.first_look import as_inputs, as_loaded, first_look
from resnet_diffeo_probe.analysis.measuring.run import Reuse, run_plan
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.provenance import Provenance
from resnet_diffeo_probe.analysis.planning.result_size import require_readable
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import SCHEMA_VERSION, validate
from resnet_diffeo_probe.analysis.steps.order import STEPS
from resnet_diffeo_probe.analysis.steps.proving import PAIR, PROOFS, unproven, witnesses_of
from resnet_diffeo_probe.analysis.steps.result_parts import (
    inputs_json,
    model_json,
    rows_json,
    tool_json,
    unit_json,
)
from resnet_diffeo_probe.analysis.steps.step import Context, take_steps
from resnet_diffeo_probe.analysis.store.fingerprint import conditions_of
from resnet_diffeo_probe.analysis.store.kept_steps import StepReuse
from resnet_diffeo_probe.bijectivity import Verdict, Witness, network_verdicts, unit_verdicts
from resnet_diffeo_probe.bijectivity.continuity import continuity_of
from resnet_diffeo_probe.bijectivity.premises import Premises
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import PixelPair
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import save as save_pixels
from resnet_diffeo_probe.bijectivity.witnesses.witness import save
from resnet_diffeo_probe.inputs import Inputs, accuracy
from resnet_diffeo_probe.models import LoadedModel
from resnet_diffeo_probe.units.faithful import Faithfulness

__all__ = ["Analysis", "analyze"]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What an analysis found.

    Attributes:
        result: the object of `result.json`; valid against its schema.
        verdicts: two a unit, then two for the network.
        witnesses: pairs of points with one image, each checked through the user's own module.
        pixel_pair: two images with the same features, where they were looked for and found.
        interrupted: whether the user stopped it before the end.
        reuse: what of it was measured by an earlier run.
        step_reuse: what of the steps after the measuring was computed by one.
    """

    result: dict[str, Any]
    verdicts: tuple[Verdict, ...]
    witnesses: tuple[Witness, ...]
    pixel_pair: PixelPair | None
    interrupted: bool
    reuse: Reuse = field(default_factory=Reuse)
    step_reuse: StepReuse = field(default_factory=StepReuse)

    @property
    def complete(self) -> bool:
        """Whether every planned measurement of every chosen unit was made."""
        return not self.interrupted and not self.result["left_out"] and is_complete(self.result)

    def save_witnesses(self, folder: Path) -> list[Path]:
        """Write every pair as `<unit>.<map>.npz` with arrays x1, x2 and strings unit, map, domain."""
        saved = [save(witness, folder) for witness in self.witnesses]
        return saved if self.pixel_pair is None else [*saved, save_pixels(self.pixel_pair, folder)]


def analyze(
    model: LoadedModel | nn.Module,
    inputs: Inputs | Tensor,
    settings: Settings | None = None,
    *,
    execution: Execution | None = None,
    provenance: Provenance | None = None,
) -> Analysis:
    """Measure every residual unit of a network at every input and judge them.

    The model is not changed: weights, buffers, mode, hooks and random state are as before. Ctrl-C once finishes the
    measurements in progress and returns what there is, marked as interrupted; twice raises a `KeyboardInterrupt`.

    Args:
        model: a loaded file, or any module.
        inputs: a batch with its names, or a plain tensor (N, *shape), already preprocessed.
        settings: what to measure and how.
        execution: who measures, where it is kept, and who hears of it; None: threads of this process, nowhere, nobody.
        provenance: what the result says of how it was asked for.

    Raises:
        NoUnitError: no residual unit was found.
        ConfigurationError: the settings ask for what does not exist.
        InputsError: the inputs do not fit the model.
        StoreError: the store cannot be read or written; what was committed stays.
    """
    settings, execution = settings or Settings(), execution or Execution()
    loaded = model if isinstance(model, LoadedModel) else as_loaded(model)
    batch = inputs if isinstance(inputs, Inputs) else as_inputs(inputs)
    started, clock = datetime.now(UTC), time.perf_counter()
    with execution.stop.listening():
        logits, discovery = first_look(loaded, batch)
        exact = discovery.to(dtype=getattr(torch, settings.dtype))
        plan = make_plan(exact, settings)
        require_readable(plan, len(batch))
        execution.events.planned(plan)
        if execution.store is not None and (
            reasons := execution.store.begin(conditions_of(discovery, settings))
        ):
            execution.events.discarded(reasons)
        plan = prepared(plan)
        faithful = Faithfulness(loaded.module, discovery, exact, batch.part(0, 1))
        measured = run_plan(exact, plan, batch, execution, faithful)
        context = Context(loaded, batch, discovery, exact, plan, measured, execution, _verdicts)
        taken = take_steps(STEPS, context)
    limits = default_thresholds() if (given := (provenance or Provenance()).thresholds) is None else given
    result = {
        "schema_version": SCHEMA_VERSION,
        "tool": tool_json(settings, provenance or Provenance(), started, time.perf_counter() - clock),
        "model": model_json(loaded, discovery, measured.notes),
        "inputs": inputs_json(
            batch, accuracy(logits, batch, loaded.num_classes) if logits is not None else None
        ),
        "units": [unit_json(p, measured, batch) for p in plan.units],
        "measurements": rows_json(measured),
        "verdicts": [v.to_json() for v in context.verdicts],
        "thresholds": [t.to_json() for t in limits],
        **taken.entries,
        "left_out": taken.left_out,
    }
    validate(result)
    found = context[PAIR]
    return Analysis(
        result,
        context.verdicts,
        witnesses_of(context[PROOFS]),
        found if isinstance(found, PixelPair) and found.is_proof else None,
        taken.interrupted,
        measured.reuse,
        context.kept.reuse,
    )


def _verdicts(context: Context) -> tuple[Verdict, ...]:
    proofs, measured = context[PROOFS], context.measured
    verdicts: list[Verdict] = []
    for unit_plan in context.plan.units:
        name = unit_plan.unit.name
        verdicts += unit_verdicts(
            name,
            activation=unit_plan.unit.activation_record,
            not_applicable=unit_plan.not_applicable,
            not_run=unit_plan.not_run,
            rows=measured.rows[name],
            nonnegative=measured.nonnegative[name],
            witnesses=proofs[name].witnesses if name in proofs else (),
            certificate=proofs[name].certificate if name in proofs else None,
            premises=Premises(
                continuity_of(unit_plan.unit.branch),
                unproven(unit_plan, measured.rows[name]),
                measured.digests,
                affine=unit_plan.jacobian is not None and unit_plan.jacobian.is_affine,
            ),
        )
    return (*verdicts, *network_verdicts(verdicts))
