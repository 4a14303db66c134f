"""Two stored analyses of one architecture, before and after: what changed, and what moved beyond its error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnet_diffeo_probe.analysis.comparing.conditions import conditions, require_comparable
from resnet_diffeo_probe.analysis.comparing.rows import holm, moved
from resnet_diffeo_probe.measures.registry import MEASURES
from resnet_diffeo_probe.version import __version__

__all__ = ["COMPARISON_VERSION", "DEFINITIONS", "compare"]

COMPARISON_VERSION = "1.0"

#: What the numbers of a comparison are, for whoever reads them.
DEFINITIONS = {
    "median_difference": "median over the inputs of B minus A",
    "beyond": "inputs at which the intervals of the two numbers do not overlap. A number's interval is its own, else "
    "it plus and minus its error, else (a direct or proven number without either) plus and minus the square root of "
    "its arithmetic's rounding unit times the number. An estimate without an error has none and is not judged",
    "p": "exact two-sided sign test: were increase and decrease equally likely at an input that differs, independently "
    "of the others, how likely would so uneven a count be",
    "p_holm": "the same, adjusted by Holm's method for all tests of this comparison together",
    "sign_flips": "inputs at which both determinants have a certain sign, and the two are different",
}

_NOT_COMPARED = frozenset(measure.key for measure in MEASURES if not measure.compared)

Result = Mapping[str, Any]
Rows = dict[tuple[str, str], dict[str | None, Mapping[str, Any]]]


def compare(a: Result, b: Result) -> dict[str, Any]:
    """Compare two analyses of one architecture over the inputs that both have.

    Args:
        a: the reference, as `read_result` returns it.
        b: what is compared with it.

    Returns:
        An object that is ready for JSON. Numbers are finite; an infinite one is the text `"inf"` or `"-inf"`.

    Raises:
        ComparisonError: the two were made at different inputs, or have no unit, input or quantity in common.
    """
    require_comparable(a, b)
    units_a, units_b = ({unit["name"]: unit for unit in each["units"]} for each in (a, b))
    ordered = sorted((unit for unit in units_a.values() if unit["name"] in units_b), key=lambda u: u["index"])
    changed = [
        {"unit": unit["name"], "what": what}
        for unit in ordered
        if (what := _other_map(unit, units_b[unit["name"]])) is not None
    ]
    apart = {entry["unit"] for entry in changed}
    paired = [unit["name"] for unit in ordered if unit["name"] not in apart]
    names_a, names_b = a["inputs"]["names"], b["inputs"]["names"]
    known_a, known_b = set(names_a), set(names_b)
    rows_a, rows_b = _rows(a), _rows(b)
    measures = _measures(paired, rows_a, rows_b)
    return {
        "comparison_version": COMPARISON_VERSION,
        "tool": {"name": "diffeo-probe", "version": __version__},
        "a": _about(a),
        "b": _about(b),
        "conditions": conditions(a, b),
        "inputs": {
            "shared": sum(name in known_b for name in names_a),
            "only_a": [name for name in names_a if name not in known_b],
            "only_b": [name for name in names_b if name not in known_a],
        },
        "units": {
            "shared": [unit["name"] for unit in ordered],
            "only_a": [name for name in units_a if name not in units_b],
            "only_b": [name for name in units_b if name not in units_a],
            "other_map": changed,
        },
        "verdicts": _verdicts(a, b),
        "sign_flips": _sign_flips(paired, rows_a, rows_b),
        "measures": measures,
        "tests": sum(entry["p"] is not None for entry in measures),
        "definitions": DEFINITIONS,
    }


def _about(result: Result) -> dict[str, Any]:
    model, tool, accuracy = result["model"], result["tool"], result["inputs"]["accuracy"]
    return {
        "file": model["file"],
        "sha256": model["sha256"],
        "architecture": model["architecture"],
        "dtype": tool["dtype"],
        "version": tool["version"],
        "started": tool["started"],
        "inputs": result["inputs"]["count"],
        "accuracy": accuracy,
        "complete": all(unit["status"] in ("complete", "not_applicable") for unit in result["units"]),
    }


def _other_map(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return in what two units of one name are different maps whose numbers must not be paired."""
    for key, word in (
        ("input_shape", "shape of its input"),
        ("output_shape", "shape of its output"),
        ("shortcut", "shortcut"),
        ("activation", "activation after the addition"),
    ):
        if a[key] != b[key]:
            return f"{word}: {a[key]} in A, {b[key]} in B"
    return None


def _rows(result: Result) -> Rows:
    rows: Rows = {}
    for row in result["measurements"]:
        rows.setdefault((row["unit"], row["quantity"]), {})[row["input"]] = row
    return rows


def _verdicts(a: Result, b: Result) -> list[dict[str, Any]]:
    of_b = {(verdict["unit"], verdict["map"]): verdict["state"] for verdict in b["verdicts"]}
    return [
        {
            "unit": verdict["unit"],
            "map": verdict["map"],
            "a": verdict["state"],
            "b": of_b[verdict["unit"], verdict["map"]],
            "changed": verdict["state"] != of_b[verdict["unit"], verdict["map"]],
        }
        for verdict in a["verdicts"]
        if (verdict["unit"], verdict["map"]) in of_b
    ]


def _sign_flips(units: list[str], rows_a: Rows, rows_b: Rows) -> list[dict[str, Any]]:
    found = []
    for unit in units:
        of_a, of_b = rows_a.get((unit, "sign"), {}), rows_b.get((unit, "sign"), {})
        shared = [name for name in of_a if name in of_b and _looked_at(of_a[name]) and _looked_at(of_b[name])]
        certain = [name for name in shared if of_a[name]["status"] == of_b[name]["status"] == "ok"]
        flipped = [name for name in certain if of_a[name]["value"] != of_b[name]["value"]]
        if shared:
            found.append(
                {
                    "unit": unit,
                    "compared": len(certain),
                    "not_certain": len(shared) - len(certain),
                    "flipped": [
                        {"input": name, "a": of_a[name]["value"], "b": of_b[name]["value"]}
                        for name in flipped
                    ],
                }
            )
    return found


def _looked_at(row: Mapping[str, Any]) -> bool:
    return row["status"] in ("ok", "singular", "undetermined", "on_kink", "other_function")


def _measures(units: list[str], rows_a: Rows, rows_b: Rows) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    quantities = list(dict.fromkeys(quantity for _, quantity in rows_a))
    for unit in units:
        for quantity in quantities:
            if quantity in _NOT_COMPARED:
                continue
            change = moved(rows_a.get((unit, quantity), {}), rows_b.get((unit, quantity), {}))
            if change is None:
                continue
            found.append(
                {
                    "unit": unit,
                    "quantity": quantity,
                    "inputs": change.pairs,
                    "unpaired": change.unpaired,
                    "median_a": _stored(change.median_a),
                    "median_b": _stored(change.median_b),
                    "median_difference": _stored(change.median_difference),
                    "judged": change.judged,
                    "beyond": change.beyond,
                    "share_beyond": change.beyond / change.judged if change.beyond is not None else None,
                    "increased": change.increased,
                    "decreased": change.decreased,
                    "p": change.p,
                }
            )
    for entry, p in zip(found, holm([entry["p"] for entry in found]), strict=True):
        entry["p_holm"] = p
    return found


def _stored(value: float | None) -> float | str | None:
    return str(value) if value is not None and math.isinf(value) else value
