"""What the page shows, gathered from a result before any HTML is written."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.analysis.result.step_names import sections_in_order
from resnet_diffeo_probe.references import CALIBRATION_NOTE
from resnet_diffeo_probe.report.sections.attribution import Attribution, attribution_of
from resnet_diffeo_probe.report.sections.criteria import Criterion, criteria_for
from resnet_diffeo_probe.report.sections.depth import Chart, depth_charts
from resnet_diffeo_probe.report.sections.detail import Detail, basis_of, detail_of
from resnet_diffeo_probe.report.sections.limits import Limits, limits_of
from resnet_diffeo_probe.report.sections.methods import Methods, methods_for
from resnet_diffeo_probe.report.sections.opening import Opening, opening_of
from resnet_diffeo_probe.report.sections.pictures import Gallery, gallery_of
from resnet_diffeo_probe.report.sections.places import Places, places_of
from resnet_diffeo_probe.report.sections.proofs import ProofsSection, proofs_of
from resnet_diffeo_probe.report.sections.pullback import Pullback, pullback_of
from resnet_diffeo_probe.report.sections.refinement import RefinementSection, refinement_of
from resnet_diffeo_probe.report.sections.table import csv_of
from resnet_diffeo_probe.report.text.escaping import plural, visible
from resnet_diffeo_probe.report.text.quantities import Quantity, table_columns
from resnet_diffeo_probe.report.text.states import MAPS, STATES, StateWords
from resnet_diffeo_probe.report.text.units import ReportUnit, ReportVerdict, network_verdicts, units_of, worst

__all__ = ["SECTIONS", "Page", "page_of"]

#: The ids of the sections of the page, in order: those of the steps after the measuring stand among the others.
SECTIONS = sections_in_order(
    ("verdict", "overview", "units", "depth", "details", "criteria", "methods", "provenance")
)
# Templates that are called otherwise than the section that they make.
_TEMPLATES = {"units": "unit_table.html.j2", "where": "spatial.html.j2"}

#: Cells in all tables of inputs together, 20 to 30 bytes each (`benchmarks/report_size.py`): within 2 MB.
_MOST_CELLS = 60_000
#: Files that were no inputs: as many are named with their reasons.
_MOST_SKIPPED = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the templates print; they decide nothing but layout."""

    result: Mapping[str, Any]
    sections: list[str]
    title: str
    units: list[ReportUnit]
    analysed: int
    incomplete: str | None
    opening: Opening
    verdicts: list[tuple[ReportVerdict, list[tuple[str, str]]]]
    tallies: list[tuple[str, list[tuple[StateWords, int]]]]
    states: list[StateWords]
    columns: list[Quantity]
    limits: Limits | None
    charts: list[Chart]
    pullback: Pullback | None
    proofs: ProofsSection
    gallery: Gallery | None
    places: Places | None
    refinement: RefinementSection | None
    attribution: Attribution | None
    calibration_note: str
    criteria: list[Criterion]
    details: list[Detail]
    methods: Methods
    csv: str
    provenance: list[tuple[str, list[tuple[str, str]]]]


def page_of(result: Mapping[str, Any]) -> Page:
    """Return what the page of a valid result shows."""
    units = units_of(result)
    measured = {key for unit in units for key in unit.rows}
    first = worst(units)
    most_inputs = max(10, _MOST_CELLS // max(1, sum(len(unit.rows) for unit in units)))
    return Page(
        result=result,
        sections=[_TEMPLATES.get(section, f"{section}.html.j2") for section in SECTIONS],
        title=visible(result["model"]["file"]),
        units=units,
        analysed=sum(unit.record["status"] in ("complete", "partial") for unit in units),
        incomplete=_incomplete(units, result.get("left_out", [])),
        opening=opening_of(result, units),
        verdicts=[(verdict, basis_of(verdict)) for verdict in network_verdicts(result)],
        tallies=_tallies(units),
        states=list(STATES.values()),
        columns=table_columns(measured),
        limits=limits_of(result, units, [column.key for column in table_columns(measured)]),
        charts=depth_charts(units, references=bool(result.get("references"))),
        pullback=pullback_of(result, units),
        proofs=proofs_of(result, units),
        gallery=gallery_of(result, units),
        places=places_of(result, units),
        refinement=refinement_of(result, units),
        attribution=attribution_of(result, units),
        calibration_note=CALIBRATION_NOTE,
        criteria=criteria_for(measured),
        details=[
            detail_of(unit, result["inputs"], is_open=unit is first, most_inputs=most_inputs)
            for unit in units
        ],
        methods=methods_for(result),
        csv="data:text/csv;charset=utf-8;base64," + base64.b64encode(csv_of(units).encode()).decode(),
        provenance=_provenance(result),
    )


def _incomplete(units: list[ReportUnit], left_out: Sequence[str]) -> str | None:
    """Return what stands before any verdict when something that was planned has no result.

    Args:
        units: with their statuses.
        left_out: steps after the measurements that an interrupt left out.
    """
    statuses = Counter(unit.record["status"] for unit in units)
    parts = []
    if statuses["not_run"]:
        parts.append(f"{statuses['not_run']} of {plural(len(units), 'unit')} not run")
    if statuses["partial"]:
        parts.append(f"{statuses['partial']} of {plural(len(units), 'unit')} run on some of the inputs only")
    if left_out:
        parts.append(f"not done after an interrupt: {', '.join(visible(step) for step in left_out)}")
    return ", ".join(parts) or None


def _tallies(units: list[ReportUnit]) -> list[tuple[str, list[tuple[StateWords, int]]]]:
    tallies = []
    for place, (name, _) in enumerate(MAPS.values()):
        found = Counter(unit.verdicts[place].state.key for unit in units)
        tallies.append((name, [(state, found[key]) for key, state in STATES.items() if found[key]]))
    return tallies


def _provenance(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return titled tables of names and values, all strings."""
    tool, model, inputs = result["tool"], result["model"], result["inputs"]
    preprocessing, accuracy = inputs["preprocessing"], inputs["accuracy"]
    model_rows = [
        ("file", model["file"]),
        ("SHA-256", model["sha256"] or "not known"),
        ("format", model["format"]),
        ("architecture", model["architecture"] + (" (assumed)" if model["architecture_assumed"] else "")),
        ("parameters", f"{model['parameters']:,}"),
        ("classes", _plain(model["num_classes"])),
        *(("note", note) for note in model["notes"]),
        *((f"sum that is no unit: {sum_['name']}", sum_["reason"]) for sum_ in model["rejected_sums"]),
    ]
    input_rows = [
        ("source", inputs["source"]),
        ("kind", inputs["kind"]),
        ("count", f"{inputs['count']:,}"),
        ("shape", _plain(inputs["shape"])),
        *((f"preprocessing: {key}", _plain(value)) for key, value in preprocessing.items()),
        ("seed", _plain(inputs["seed"])),
        ("accuracy", f"{accuracy['correct']} of {accuracy['total']} right" if accuracy else "no labels"),
        *(
            (f"skipped: {skipped['name']}", skipped["reason"])
            for skipped in inputs["skipped"][:_MOST_SKIPPED]
        ),
    ]
    if (left := len(inputs["skipped"]) - _MOST_SKIPPED) > 0:
        input_rows.append(("skipped too", f"{plural(left, 'file')} more, which result.json names"))
    run_rows = [(key, _plain(tool[key])) for key in ("name", "version", "started", "seed", "dtype", "device")]
    tables = [("Model", model_rows), ("Inputs", input_rows), ("Run", run_rows)]
    tables += [(title, [(key, _plain(value)) for key, value in sorted(tool[title.lower()].items())])
               for title in ("Configuration", "Environment") if tool[title.lower()]]  # fmt: skip
    return tables


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
