"""The natural way through the house: a model and inputs in, a stored analysis out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import resnet_diffeo_probe
from resnet_diffeo_probe.analysis.comparing.gate import is_complete
from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold, default_thresholds
from resnet_diffeo_probe.analysis.measuring.first_look import as_inputs, as_loaded, first_look
from resnet_diffeo_probe.analysis.measuring.interrupt import Steps, Stop
from resnet_diffeo_probe.analysis.measuring.run import Measured, Progress, Reuse, run_plan
from resnet_diffeo_probe.analysis.measuring.tasks import Executor
from resnet_diffeo_probe.analysis.planning.plan import Plan, make_plan, prepared
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.result_size import require_readable
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import SCHEMA_VERSION, validate
from resnet_diffeo_probe.analysis.steps.attributing import attribution_json
from resnet_diffeo_probe.analysis.steps.pictures import pictures_json
from resnet_diffeo_probe.analysis.steps.placement import references_json, refinement_json
from resnet_diffeo_probe.analysis.steps.proving import pair_in_pixels, prove_units, unproven
from resnet_diffeo_probe.analysis.steps.pulling_back import pullback_json
from resnet_diffeo_probe.analysis.steps.result_parts import (
    certificates_json,
    configuration_of,
    environment_of,
    inputs_json,
    model_json,
    pixel_pair_json,
    rows_json,
    unit_json,
)
from resnet_diffeo_probe.analysis.store.fingerprint import conditions_of
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, StepReuse
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.bijectivity import Proofs, Verdict, Witness, network_verdicts, unit_verdicts
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import save as save_pixels
from resnet_diffeo_probe.bijectivity.witnesses.witness import save
from resnet_diffeo_probe.inputs import Inputs, accuracy
from resnet_diffeo_probe.models import LoadedModel
from resnet_diffeo_probe.units import Discovery, ResidualUnit
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
    command: str = "",
    configuration: Mapping[str, Any] | None = None,
    thresholds: Iterable[Threshold] | None = None,
    executor: Callable[[Discovery, Plan], Executor] | None = None,
    store: Store | None = None,
    stop: Stop | None = None,
    progress: Callable[[Progress], None] | None = None,
    planned: Callable[[Plan], None] | None = None,
    stale: Callable[[list[str]], None] | None = None,
    proven: Callable[[str], None] | None = None,
    taken: Callable[[str, str], None] | None = None,
    again: Callable[[str, str, str], None] | None = None,
) -> Analysis:
    """Measure every residual unit of a network at every input and judge them.

    The model is not changed: weights, buffers, mode, hooks and random state are as before. Ctrl-C once finishes the
    measurements in progress and returns what there is, marked as interrupted; twice raises a `KeyboardInterrupt`.

    Args:
        model: a loaded file, or any module.
        inputs: a batch with its names, or a plain tensor (N, *shape), already preprocessed.
        settings: what to measure and how.
        command: the command line, for the report's provenance.
        configuration: every option as used, for the same.
        thresholds: limits to be stored with the numbers; None: the defaults.
        executor: makes who measures from the network in the dtype of the plan and the prepared plan; None: threads.
        store: where measurements are committed as they are made, and found again.
        stop: what an interrupt does; None: as above.
        progress: called after each unit and input.
        planned: called once with the plan before anything runs.
        stale: called where a store holds measurements that are of no use here, with the reasons in words.
        proven: called with the name of each unit whose proofs were looked for.
        taken: called with each part of what follows the measuring that an earlier run computed: the step's name and
            the part's.
        again: called with each part that was there and could not be used, and why.

    Raises:
        NoUnitError: no residual unit was found.
        ConfigurationError: the settings ask for what does not exist.
        InputsError: the inputs do not fit the model.
        StoreError: the store cannot be read or written; what was committed stays.
    """
    settings = settings or Settings()
    loaded = model if isinstance(model, LoadedModel) else as_loaded(model)
    batch = inputs if isinstance(inputs, Inputs) else as_inputs(inputs)
    stop = stop or Stop()
    started, clock = datetime.now(UTC), time.perf_counter()
    with stop.listening():
        logits, discovery = first_look(loaded, batch)
        exact = discovery.to(dtype=getattr(torch, settings.dtype))
        plan = make_plan(exact, settings)
        require_readable(plan, len(batch))
        if planned is not None:
            planned(plan)
        if (
            store is not None
            and (reasons := store.begin(conditions_of(discovery, settings)))
            and stale is not None
        ):
            stale(reasons)
        plan = prepared(plan)
        measured = run_plan(
            exact,
            plan,
            batch,
            faithful=Faithfulness(loaded.module, discovery, exact, batch.part(0, 1)),
            executor=None if executor is None else executor(exact, plan),
            store=store,
            stop=stop,
            progress=progress,
        )
        steps = Steps(stop, interrupted=measured.interrupted)
        kept = KeptSteps(store, taken=taken, again=again)
        # between two steps an interrupt is remembered, and the next one is left out
        with stop.finishing(lambda: None):
            proofs: dict[str, Proofs] = steps.take(
                "proofs",
                lambda: prove_units(
                    exact, plan, measured, batch, loaded.module, kept=kept, stop=stop, proven=proven
                ),
                {},
                wanted=settings.proves,
            )
            in_pixels: PixelPair | NoPixelPair | None = steps.take(
                "pair of images",
                lambda: pair_in_pixels(exact, plan, batch, loaded.module, kept),
                None,
                wanted=settings.proves and settings.budget is Budget.FULL,
            )
            refinement: list[dict[str, Any]] = steps.take(
                "refinement test",
                lambda: refinement_json(discovery, batch, loaded.num_classes, kept),
                [],
                wanted=settings.refines,
            )
            verdicts = _verdicts(plan, measured, proofs)
            witnesses = tuple(w for p in proofs.values() for w in p.witnesses)
            pulled = steps.take(
                "pullback",
                lambda: pullback_json(exact, plan, measured, batch, kept),
                None,
                wanted=settings.refines and settings.budget is Budget.FULL,
            )
            attribution = steps.take(
                "attribution",
                lambda: attribution_json(discovery, exact, plan, measured, verdicts, batch, kept),
                None,
                wanted=settings.refines,
            )
            pictures = steps.take(
                "pictures",
                lambda: pictures_json(
                    exact, plan, measured, batch, witnesses, in_pixels, verdicts, kept=kept, stop=stop
                ),
                None,
                wanted=not settings.measures,
            )
            # some steps end early by themselves
            measured.interrupted |= stop.requested or steps.interrupted
    units, rows = [unit_json(p, measured, batch) for p in plan.units], rows_json(measured)
    result = {
        "schema_version": SCHEMA_VERSION,
        "tool": {
            "name": "diffeo-probe",
            "version": resnet_diffeo_probe.__version__,
            "command": command,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "seed": settings.seed,
            "dtype": settings.dtype,
            "device": settings.device,
            "configuration": dict(configuration or configuration_of(settings)),
            "environment": environment_of(settings),
        },
        "model": model_json(loaded, discovery, measured.notes),
        "inputs": inputs_json(
            batch, accuracy(logits, batch, loaded.num_classes) if logits is not None else None
        ),
        "units": units,
        "measurements": rows,
        "verdicts": [v.to_json() for v in verdicts],
        "thresholds": [t.to_json() for t in (default_thresholds() if thresholds is None else thresholds)],
        "witnesses": [{"unit": w.unit, **w.to_json()} for w in witnesses],
        "certificates": certificates_json(proofs),
        "references": references_json(units, rows),
        "refinement": refinement,
        "pixel_pair": pixel_pair_json(in_pixels),
        "pullback": pulled,
        "attribution": attribution,
        "pictures": pictures,
        "left_out": steps.left_out,
    }
    validate(result)
    pair = in_pixels if isinstance(in_pixels, PixelPair) and in_pixels.is_proof else None
    return Analysis(result, verdicts, witnesses, pair, measured.interrupted, measured.reuse, kept.reuse)


def _verdicts(plan: Plan, measured: Measured, proofs: Mapping[str, Proofs]) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for unit_plan in plan.units:
        name = unit_plan.unit.name
        verdicts += unit_verdicts(
            name,
            activation=_activation(unit_plan.unit),
            not_applicable=unit_plan.not_applicable,
            not_run=unit_plan.not_run,
            rows=measured.rows[name],
            nonnegative=measured.nonnegative[name],
            witnesses=proofs[name].witnesses if name in proofs else (),
            certificate=proofs[name].certificate if name in proofs else None,
            unproven=unproven(unit_plan, measured.rows[name]),
            digests=measured.digests,
        )
    return (*verdicts, *network_verdicts(verdicts))


def _activation(unit: ResidualUnit) -> str | None:
    """Return the activation's name, with its parameters where these make it another function than the name says."""
    if unit.activation is None or unit.activation_map is None:
        return unit.activation
    for node in unit.activation_map.graph.nodes:
        if node.op == "call_function":
            numbers = [v for v in (*node.args[1:], *node.kwargs.values()) if type(v) in (int, float)]
            # leaky_relu with slope 0 or below, or elu with such an alpha, is not injective
            if unit.activation in ("leaky_relu", "elu", "celu") and any(v <= 0 for v in numbers):
                return f"{unit.activation}({', '.join(map(str, numbers))})"
    return unit.activation
