"""An analysis from the options to its exit code: load, measure, judge, write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffeo_probe import terminal
from diffeo_probe.options.options import preprocessing_of, thresholds_of
from diffeo_probe.running.analysis_options import AnalysisOptions
from diffeo_probe.running.folder import Earlier, prepare_folder
from diffeo_probe.running.interruption import patient_stop
from diffeo_probe.running.results import reuse_in_words, step_reuse_in_words, tell, write
from diffeo_probe.running.run_record import Log, write_run
from diffeo_probe.running.workers import executor_for
from resnet_diffeo_probe import __version__

if TYPE_CHECKING:
    from resnet_diffeo_probe.inputs import Inputs, Preprocessing
    from resnet_diffeo_probe.models import LoadedModel

__all__ = ["run_analysis"]

# Names of skipped files that are shown; the report lists all.
_SKIPPED_SHOWN = 5


def run_analysis(
    model: str, options: AnalysisOptions, *, command: str, recorded: tuple[str, str] | None = None
) -> int:
    """Load, measure, judge, write; return the exit code.

    Args:
        model: the file.
        options: as typed.
        command: the command line, for the record.
        recorded: stands in the result in place of the paths of model and inputs, where these are the package's own.
    """
    # what can be refused is refused before torch is loaded and anything is computed
    limits = thresholds_of(options.thresholds)
    earlier = Earlier.of(options.out, resume=options.resume, overwrite=options.overwrite)
    folder = prepare_folder(options.out, Path(model), earlier) if options.out is not None else None
    from diffeo_probe.running.observer import Observer
    from resnet_diffeo_probe.analysis.analyze import analyze as analyze_model
    from resnet_diffeo_probe.analysis.comparing.gate import INTERRUPTED, exit_code
    from resnet_diffeo_probe.analysis.comparing.thresholds import require_units
    from resnet_diffeo_probe.analysis.measuring.execution import Execution
    from resnet_diffeo_probe.analysis.planning.plan import Plan
    from resnet_diffeo_probe.analysis.planning.provenance import Provenance
    from resnet_diffeo_probe.analysis.store.store import Store
    from resnet_diffeo_probe.models import load

    settings = options.settings()
    loaded = load(model, arch=options.arch, trust_pickle=options.trust_pickle)
    for note in loaded.notes:
        terminal.hint(note)
    batch = _read(loaded, options)
    if recorded is not None:
        batch = replace(batch, source=recorded[1])
    _tell_of_inputs(batch)
    if folder is None:
        folder = prepare_folder(None, Path(model), earlier)
    with (
        Store(folder, resume=options.resume, replace=options.overwrite) as store,
        Log(folder) as log,
        terminal.progress_display() as show,
    ):

        def announce(plan: Plan) -> None:
            require_units(limits, [planned.unit.name for planned in plan.units])
            about = (
                f"{loaded.architecture}: {len(plan.units)} residual units, "
                f"determinants of {sum(p.jacobian is not None for p in plan.units)} of them at "
                f"{len(batch.names)} input{'' if len(batch.names) == 1 else 's'}"
            )
            click.echo(terminal.printable(about), err=True)
            # from here on the folder is this process's own
            store.hold()
            log.line(f"diffeo-probe {__version__}: {command}")
            log.line(about)
            if recorded is None:
                write_run(options.to_go_on_with(model), folder)

        seen = Observer(show, log, announce)
        configuration = options.configuration(model, settings)
        if recorded is not None:
            configuration |= {"model": recorded[0], "inputs": recorded[1]}
        analysis = analyze_model(
            loaded,
            batch,
            settings,
            execution=Execution(
                executor=executor_for(
                    options.workforce,
                    loaded,
                    batch,
                    arch=options.arch,
                    trust_pickle=options.trust_pickle,
                    tell=seen.note,
                ),
                store=store,
                stop=patient_stop(log),
                events=seen,
            ),
            provenance=Provenance(command, configuration, limits),
        )
        if options.resume:
            seen.note(reuse_in_words(analysis.reuse))
            seen.note(step_reuse_in_words(analysis.step_reuse))
        write(analysis, folder)
        code = INTERRUPTED if analysis.interrupted else exit_code(analysis.result, options.fail_on, limits)
        log.line(f"{'interrupted' if analysis.interrupted else 'done'}: exit code {code}")
    tell(analysis, folder)
    if analysis.interrupted:
        left_out = analysis.result["left_out"]
        without = f", without {', '.join(left_out)}" if left_out else ""
        terminal.hint(
            f"interrupted: the report holds what was measured until then{without}; "
            f"--out {folder} --resume goes on from there"
        )
    return code


def _read(loaded: LoadedModel, options: AnalysisOptions) -> Inputs:
    from resnet_diffeo_probe.inputs import read_inputs

    images = options.inputs != "synthetic"
    preprocessing: Preprocessing = preprocessing_of(
        loaded, options.preset, options.mean, options.std, options.size, images=images
    )
    with terminal.counting("images looked at") as listed:
        batch = read_inputs(
            options.inputs,
            count=options.count,
            preprocessing=preprocessing,
            shape=loaded.input_shape,
            seed=options.seed,
            listed=listed,
        )
    return replace(batch, labels=None, classes=None) if options.labels == "none" else batch


def _tell_of_inputs(batch: Inputs) -> None:
    for note in batch.notes:
        terminal.hint(note)
    for name, reason in batch.skipped[:_SKIPPED_SHOWN]:
        terminal.hint(f"skipped {name}: {reason}")
    if (more := len(batch.skipped) - _SKIPPED_SHOWN) > 0:
        terminal.hint(f"skipped {more} more files: the report lists them")
