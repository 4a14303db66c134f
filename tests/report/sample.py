"""Stored analyses of any size and state, put together from what the engine wrote about one small network.

A unit of a sample is the unit of that state in `analysed`, an input one of its five inputs, under names of their own.
Only what counts units and inputs is counted anew.
"""

import base64
import copy
import io
import math
from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES
from resnet_diffeo_probe.analysis.result.schema import load_schema, validate
from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES, Verdict, network_verdicts
from resnet_diffeo_probe.bijectivity.verdict import violating_share_upper
from resnet_diffeo_probe.bijectivity.witnesses.witness import file_name

from .analysed import UNIT_OF, analysed

EVIL_UNIT = '<script>alert("unit")</script>'
EVIL_NAMES = [
    EVIL_UNIT,
    "quote\" onload='x' & amp;",
    "\x1b[31mred\x1b[0m",
    "abc\u202egnp.exe",
    '=HYPERLINK("http://evil.example","x")',
    "$\\frac{1}{0}$",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "lone \ud800 surrogate",
    "名前\u200b",
]
#: Optional parts of a result that stand together on the page.
EVIDENCE = ("witnesses", "certificates", "references", "refinement")
PICTURES = ("pictures", "pixel_pair")
#: Why a unit of the state `not_run` was not.
NOT_RUN = "the run was interrupted"

# there is an entry of these at every input, and of the others at the first few
_AT_EVERY_INPUT = ("measurements", "certificates")
_OF_A_STANDARD_RUN = frozenset(QUANTITIES) - set(PROOF_QUANTITIES)


def make_result(
    units: int = 16,
    inputs: int = 8,
    *,
    states: tuple[str, ...] | None = None,
    labels: bool = True,
    unit_names: list[str] | None = None,
    input_names: list[str] | None = None,
    parts: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return a valid result; `states[i % len(states)]` is the verdict of unit i on its sum map.

    Args:
        units: how many.
        inputs: how many; without any, nothing was run.
        states: of the sum maps in turn; a mixture if not given.
        labels: whether the inputs have classes.
        unit_names: instead of `layer<stage>.<place>`.
        input_names: instead of `<class>/<place>.jpg`.
        parts: optional parts of the result to be there; proofs come with what was measured for them.
    """
    names = input_names or [f"{('airplane', 'cat', 'truck')[i % 3]}/{i:04d}.jpg" for i in range(inputs)]
    chosen = states or (
        "not_applicable", "no_violation_found", "not_injective_proven", "not_injective_proven",
        "not_applicable", "undetermined", "no_violation_found", "not_injective_proven",
    )  # fmt: skip
    called = unit_names or [f"layer{1 + 4 * index // max(units, 1)}.{index}" for index in range(units)]
    of_state = [chosen[index % len(chosen)] for index in range(units)]
    if not names:
        of_state = [state if state == "not_applicable" else "not_run" for state in of_state]
    return _Sample(
        dict(zip(called, (UNIT_OF[state] for state in of_state), strict=True)), names, parts
    ).result(labels=labels)


class _Sample:
    """Units and inputs under new names, and what becomes of the entries about the old ones."""

    def __init__(self, made_of: dict[str, str], names: list[str], parts: tuple[str, ...]) -> None:
        self._source = analysed()
        self._made_of, self._names, self._parts = made_of, names, parts
        self._inputs: list[str] = self._source.result["inputs"]["names"]
        unmeasured = {UNIT_OF["not_run"], UNIT_OF["not_applicable"]}
        self._measured = [name for name, unit in made_of.items() if unit not in unmeasured]

    def result(self, *, labels: bool) -> dict[str, Any]:
        """Return the whole result."""
        source = self._source.result
        required = {key: copy.deepcopy(source[key]) for key in load_schema()["required"]}
        result = required | {key: self._part(key) for key in ("measurements", *self._parts)}
        if not set(EVIDENCE) & set(self._parts):
            rows = result["measurements"]
            result["measurements"] = [row for row in rows if row["quantity"] in _OF_A_STANDARD_RUN]
        total = len(self._names)
        result["inputs"] |= {
            "count": total,
            "names": list(self._names),
            "labels": [name.split("/", maxsplit=1)[0] for name in self._names] if labels else None,
            "accuracy": {"correct": math.ceil(0.7 * total), "total": total} if labels else None,
        }
        result["units"] = [self._unit(index, name) for index, name in enumerate(self._made_of)]
        result["verdicts"] = self._verdicts(result["measurements"])
        validate(result)
        return result

    def _part(self, key: str) -> Any:
        part = self._source.result[key]
        if isinstance(part, dict) and not self._measured:
            return None
        laps = math.ceil(len(self._names) / len(self._inputs))
        return self._anew(part, self._words(None, 0), laps if key in _AT_EVERY_INPUT else min(1, laps))

    def _words(self, name: str | None, lap: int) -> dict[str, str]:
        """Return what stands for each old name in what is said of a unit at the inputs of a lap."""
        words = {}
        for unit in UNIT_OF.values():
            # where an entry about no unit names one: the first that is made of it
            same = (other for other, of in self._made_of.items() if of == unit)
            words[unit] = new = name or next(chain(same, self._measured), unit)
            if lap == 0:
                words |= {
                    file_name(unit, which): file_name(new, which) for which in ("sum", "unit", "pixels")
                }
        if self._names:
            for place, old in enumerate(self._inputs, lap * len(self._inputs)):
                words[old] = self._names[place % len(self._names)]
        return words

    def _anew(self, node: Any, words: dict[str, str], laps: int | None) -> Any:
        """Return a part with an entry for each new unit and input where there is one for the old ones.

        Within an entry (`laps` is None) names alone are replaced.
        """
        if isinstance(node, str):
            return words.get(node, node)
        if isinstance(node, dict):
            return {key: self._anew(child, words, laps) for key, child in node.items()}
        if not isinstance(node, list):
            return node
        if laps is not None and node and set(map(type, node)) == {str} and set(node) <= set(UNIT_OF.values()):
            return [name for name, unit in self._made_of.items() if unit in node]
        if laps is None or not any(
            isinstance(entry, dict) and {"unit", "input"} & set(entry) for entry in node
        ):
            return [self._anew(child, words, laps) for child in node]
        about: dict[str | None, list[dict[str, Any]]] = {}
        for entry in node:
            about.setdefault(entry.get("unit"), []).append(entry)
        found = self._entries(about.pop(None, []), None, laps)
        for name, unit in self._made_of.items():
            found += self._entries(about.get(unit, []), name, laps)
        return found

    def _entries(self, old: list[dict[str, Any]], name: str | None, laps: int) -> list[Any]:
        """Return entries about one unit, or none, at each input that they are about."""
        found = []
        for lap in range(laps if old else 0):
            words = self._words(name, lap)
            for entry in old:
                at = entry.get("input")
                # what is about no input stands there once
                place = 0 if at is None else lap * len(self._inputs) + self._inputs.index(at)
                if place < len(self._names) and (at is not None or lap == 0):
                    found.append(self._anew(entry, words, None))
        return found

    def _unit(self, index: int, name: str) -> dict[str, Any]:
        (unit,) = (u for u in self._source.result["units"] if u["name"] == self._made_of[name])
        unit = copy.deepcopy(unit) | {"name": name, "index": index}
        if unit["status"] == "not_run":
            return unit | {"reason": NOT_RUN, "planned": len(self._names)}
        return unit | ({"planned": len(self._names), "done": len(self._names)} if unit["planned"] else {})

    def _verdicts(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        counts: dict[str, Counter[str]] = {name: Counter() for name in self._made_of}
        for row in rows:
            if row["quantity"] == "sign":
                counts[row["unit"]][_kind(row)] += 1
        verdicts = []
        for name, unit in self._made_of.items():
            for verdict in (v for v in self._source.verdicts if v.unit == unit):
                verdicts.append(self._verdict(verdict, name, counts[name]))
        return [verdict.to_json() for verdict in (*verdicts, *network_verdicts(verdicts))]

    def _verdict(self, old: Verdict, name: str, counts: Counter[str]) -> Verdict:
        certain = counts["positive"] + counts["negative"]
        return replace(
            old,
            unit=name,
            sentence=f"Not run: {NOT_RUN}." if old.state == "not_run" else old.sentence,
            counts=old.counts and {kind: counts[kind] for kind in old.counts},
            violating_share_upper_95=old.violating_share_upper_95 and violating_share_upper(certain),
            evidence=self._anew(old.evidence, self._words(name, 0), None),
        )


def picture(levels: np.ndarray, scale: list[float] | None = None) -> dict[str, Any]:
    """Return a stored picture of (H, W) or (H, W, 3) levels."""
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(buffer, format="PNG")
    return {
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "width": levels.shape[1],
        "height": levels.shape[0],
        "scale": scale,
        "pooled_from": None,
    }


def _kind(row: dict[str, Any]) -> str:
    if row["status"] == "not_run":
        return "not_run"
    if row["value"] is None or row["status"] == "on_kink":
        return "undetermined"
    return {1: "positive", 0: "zero", -1: "negative"}[row["value"]]
