"""Verdicts from the evidence alone: the same evidence gives the same verdict, nothing else changes it.

Sum map g(x) = x + F(x). A continuous injective map of a connected open set of Rⁿ is open (invariance of domain,
Brouwer 1912), so its local degree is the same everywhere; where g is differentiable with det J ≠ 0 the local degree is
sign det J. Opposite signs at two points therefore prove that g is not injective on any connected open set that holds
both. One sign alone proves nothing: a reflection has det J < 0 everywhere and is a bijection.

Whole unit a(g(x)) with a ReLU after the addition. If g_i(x) < 0 at some x, a neighbourhood of x is mapped into the
hyperplane y_i = 0, so the image of that neighbourhood is not open and a∘g is not injective there. This is the remark of
section 3.3 of 'Residual Networks as Flows of Diffeomorphisms' as a proof.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.proven import with_certificate, with_witness
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.bijectivity.witnesses.witness import Witness
from resnet_diffeo_probe.finding import Finding, Status

__all__ = ["State", "Verdict", "network_verdicts", "unit_verdicts", "violating_share_upper"]

#: A clipped coordinate must lie this far below zero, relative to the largest one, for the rounding of a forward pass
#: in this arithmetic not to matter.
CLIPPED_DEPTH = {"float64": 1e-9, "float32": 1e-3}

# Activations that are injective: after them a unit is injective exactly where its sum map is.
_INJECTIVE_ACTIVATIONS = frozenset(
    {"leaky_relu", "elu", "selu", "celu", "tanh", "sigmoid", "softplus", "softsign"}
)


def violating_share_upper(inputs: int) -> float:
    """Return the one-sided 95 % upper bound on a share of which 0 of `inputs` independent draws were seen.

    The exact (Clopper-Pearson) bound 1 − 0.05^(1/n); 0 of 64 gives 4.57 %.
    """
    return float(1 - 0.05 ** (1 / inputs))


def unit_verdicts(
    unit: str,
    *,
    activation: str | None,
    not_applicable: str | None,
    not_run: str | None,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    witnesses: Sequence[Witness] = (),
    certificate: GlobalCertificate | None = None,
    unproven: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> tuple[Verdict, Verdict]:
    """Judge the sum map and the whole unit.

    Args:
        unit: its name.
        activation: after the addition, None if there is none.
        not_applicable: why the unit cannot be a bijection's candidate (it changes the dimension), else None.
        not_run: why nothing was measured, else None.
        rows: input name -> quantity -> finding.
        nonnegative: input name -> whether the unit's input has no negative coordinate there.
        witnesses: pairs found for this unit; only those that are proofs count.
        certificate: of the branch's Lipschitz constant, whether it holds or not.
        unproven: why what was measured is not one map of the user's, so that nothing proves anything of it; else None.
        digests: input name -> fingerprint, equal for equal inputs: copies of one are one draw. None: all differ.

    Returns:
        The verdicts on `"sum"` and `"unit"`.
    """
    if not_applicable is not None:
        return (
            Verdict(unit, "sum", State.NOT_APPLICABLE, not_applicable),
            Verdict(unit, "unit", State.NOT_APPLICABLE, not_applicable),
        )
    total = _judge_sum(unit, not_run, rows, nonnegative, digests or {})
    if unproven is not None:
        whole = _judge_whole(unit, activation, total, rows, nonnegative)
        return _without_proof(total, unproven), _without_proof(whole, unproven)
    proofs = {found.map: found for found in witnesses if found.is_proof and found.unit == unit}
    total = with_certificate(with_witness(total, proofs.get("sum")), certificate)
    whole = _judge_whole(unit, activation, total, rows, nonnegative)
    return total, with_witness(whole, proofs.get("unit"))


def _without_proof(verdict: Verdict, reason: str) -> Verdict:
    """Return what is left of a verdict on a map that is not one function of the user's."""
    if verdict.state is State.NO_VIOLATION_FOUND:
        return replace(verdict, sentence=f"{verdict.sentence} Nothing more can be said: {reason}.")
    if verdict.state is not State.NOT_INJECTIVE_PROVEN:
        return verdict
    sentence = f"What was seen would prove of one continuous map that it is not injective, but {reason}."
    if verdict.map == "sum" and verdict.counts is not None:
        signs = f"The determinant is positive at {_inputs(verdict.counts['positive'])} and negative at "
        sentence = f"{signs}{verdict.counts['negative']}. {sentence}"
    return replace(verdict, state=State.UNDETERMINED, sentence=sentence, domain=None, evidence=None)


def _judge_sum(
    unit: str,
    not_run: str | None,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    digests: Mapping[str, str],
) -> Verdict:
    signs = {name: row["sign"] for name, row in rows.items() if "sign" in row}
    kinds = {name: _kind(finding) for name, finding in signs.items()}
    tally = Counter(kinds.values())
    counts = {kind: tally[kind] for kind in ("positive", "negative", "zero", "undetermined", "not_run")}
    certain = counts["positive"] + counts["negative"]
    if not_run is not None or not signs or counts["not_run"] == len(signs):
        first = next((f.reason for f in signs.values() if f.reason), None)
        reason = not_run or first or "the sign of the determinant was not measured"
        return Verdict(unit, "sum", State.NOT_RUN, f"Not run: {reason}.", counts=counts)
    if counts["positive"] and counts["negative"]:
        return _opposite_signs(unit, rows, kinds, counts, nonnegative)
    others = [f.reason for f in signs.values() if f.status is Status.OTHER_FUNCTION]
    if not certain and len(others) == len(signs):
        sentence = f"No sign could be decided: {others[0]}."
        return Verdict(unit, "sum", State.UNDETERMINED, sentence, counts=counts)
    if not certain:
        sentence = (
            f"No sign could be decided: the Jacobian is proven to be singular at {_inputs(counts['zero'])}; it "
            f"is singular within rounding, or the input lies on a kink, at "
            f"{_inputs(counts['undetermined'] - len(others))}."
        )
        sentence += _elsewhere(others)
        if counts["not_run"]:
            sentence += f" At {_inputs(counts['not_run'], 'more')} it was not computed."
        return Verdict(unit, "sum", State.UNDETERMINED, sentence, arithmetic=_arithmetic(rows), counts=counts)
    word = "positive" if counts["positive"] else "negative"
    seen = [name for name, kind in kinds.items() if kind in ("positive", "negative")]
    distinct = len({digests.get(name, name) for name in seen})
    bound = violating_share_upper(distinct)
    where = (
        f"all {certain} inputs where its sign is certain"
        if certain > 1
        else "the one input where it is certain"
    )
    if distinct < certain:
        where += f" ({distinct} distinct)"
    sentence = (
        f"The determinant is {word} at {where}; if inputs like these are drawn "
        f"independently, the other sign has a share below {bound:.1%} (95 %). This proves nothing about other inputs."
    )
    if word == "negative":
        sentence += " Negative everywhere is a reflection, which a bijection may be."
    sentence += _rest(counts) + _elsewhere(others)
    return Verdict(
        unit,
        "sum",
        State.NO_VIOLATION_FOUND,
        sentence,
        domain="the inputs measured",
        arithmetic=_arithmetic(rows),
        counts=counts,
        violating_share_upper_95=bound,
    )


def _opposite_signs(
    unit: str,
    rows: Mapping[str, Mapping[str, Finding]],
    kinds: Mapping[str, str],
    counts: dict[str, int],
    nonnegative: Mapping[str, bool],
) -> Verdict:
    # the two whose signs are surest, preferring inputs in the orthant where the unit really works
    def surest(kind: str) -> str:
        names = [name for name, found in kinds.items() if found == kind]
        return min(
            names, key=lambda name: (not nonnegative.get(name, False), _sortable_margin(rows[name]), name)
        )

    pair = [surest("positive"), surest("negative")]
    domain = "every connected open set that holds both inputs, a neighbourhood of the segment between them among them"
    if all(nonnegative.get(name, False) for name in pair):
        domain += "; also the open orthant of inputs with positive coordinates, in whose closure outputs of a ReLU lie"
    sentence = (
        f"The determinant is positive at {_inputs(counts['positive'])} and negative at {counts['negative']}: the map "
        "folds between them, so some two different points have one image."
    )
    sentence += _rest(counts)
    return Verdict(
        unit,
        "sum",
        State.NOT_INJECTIVE_PROVEN,
        sentence,
        domain=domain,
        arithmetic=_arithmetic(rows),
        counts=counts,
        evidence={
            "proof": "opposite signs of the Jacobian determinant (invariance of domain)",
            "inputs": pair,
            "signs": [1, -1],
            "sign_margins": [_margin(rows[name]) for name in pair],
        },
    )


def _judge_whole(
    unit: str,
    activation: str | None,
    total: Verdict,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
) -> Verdict:
    depths = {name: found for name, row in rows.items() if (found := row.get("clipped_depth")) is not None}
    clipped = {
        name: float(found.value) for name, found in depths.items() if _is_clipped(found) and found.value
    }
    if activation in ("relu", "relu6") and clipped:
        return _flattened(unit, activation, total, rows, nonnegative, clipped, depths)
    same = {
        "domain": total.domain,
        "arithmetic": total.arithmetic,
        "counts": total.counts,
        "evidence": total.evidence,
    }
    if activation is None or activation in _INJECTIVE_ACTIVATIONS:
        follows = "No activation follows the addition" if activation is None else f"{activation} is injective"
        return Verdict(
            unit,
            "unit",
            total.state,
            f"{follows}: as the sum map. {total.sentence}",
            violating_share_upper_95=total.violating_share_upper_95,
            **same,  # type: ignore[arg-type]
        )
    if total.state is State.NOT_INJECTIVE_PROVEN:
        sentence = "The sum map has two points with one image, so the whole unit has."
        return Verdict(unit, "unit", total.state, sentence, **same)  # type: ignore[arg-type]
    if total.state is State.NOT_RUN:
        return Verdict(unit, "unit", State.NOT_RUN, total.sentence, counts=total.counts)
    if activation not in ("relu", "relu6"):
        sentence = (
            f"{activation} after the addition may give different sums one image; no such pair was looked for."
        )
    elif any(found.value is not None for found in depths.values()):
        sentence = (
            f"No clipped coordinate was seen at these inputs; what {activation} does to others is open."
        )
    else:
        sentence = f"Whether the {_NAMES[activation]} after the addition clips coordinates was not measured."
    return Verdict(unit, "unit", State.UNDETERMINED, sentence, counts=total.counts)


def _flattened(
    unit: str,
    activation: str,
    total: Verdict,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    clipped: Mapping[str, float],
    depths: Mapping[str, Finding],
) -> Verdict:
    # the input that shows it best: in the orthant where the unit really works, clipped deepest
    shown = min(clipped, key=lambda name: (not nonnegative.get(name, False), -clipped[name], name))
    shares = sorted(
        float(found.value)
        for name in clipped
        if (found := rows[name].get("clipped_fraction")) is not None and found.value is not None
    )
    # whole percents would call a single coordinate of thousands "0%"
    extent = f" ({100 * shares[0]:.3g} % to {100 * shares[-1]:.3g} % of the coordinates)" if shares else ""
    measured = sum(found.value is not None for found in depths.values())
    sentence = (
        f"The {_NAMES[activation]} after the addition sets coordinates to zero at {len(clipped)} of "
        f"{_inputs(measured)}{extent}: a neighbourhood of each such input is flattened onto a hyperplane, and the "
        "whole unit's Jacobian is singular there."
    )
    domain = "every neighbourhood of each of these inputs"
    if all(nonnegative.get(name, False) for name in clipped):
        domain += ", within the orthant of non-negative inputs too"
    dtype = depths[shown].dtype or "float64"
    return Verdict(
        unit,
        "unit",
        State.NOT_INJECTIVE_PROVEN,
        sentence,
        domain=domain,
        arithmetic=f"{dtype} forward pass; clipped by more than its rounding",
        counts=total.counts,
        evidence={
            "proof": "an open set is mapped into a hyperplane (invariance of domain)",
            "inputs": [shown],
            "clipped_depth": clipped[shown],
        },
    )


def network_verdicts(verdicts: Sequence[Verdict]) -> tuple[Verdict, Verdict]:
    """Summarise the verdicts on a network's units, for each map.

    The summary speaks of the units one by one, not of their composite.
    """
    return _summarise([v for v in verdicts if v.map == "sum"], "sum"), _summarise(
        [v for v in verdicts if v.map == "unit"], "unit"
    )


# The summary's state is the first of these that a unit is in.
_PRECEDENCE = (
    State.NOT_INJECTIVE_PROVEN,
    State.NOT_RUN,
    State.UNDETERMINED,
    State.NO_VIOLATION_FOUND,
    State.CERTIFIED_INJECTIVE,
    State.NOT_APPLICABLE,
)

_NAMES = {"relu": "ReLU", "relu6": "ReLU6"}

_WORDS = {
    State.CERTIFIED_INJECTIVE: "certified injective",
    State.NOT_INJECTIVE_PROVEN: "proven not injective",
    State.NO_VIOLATION_FOUND: "without a violation found",
    State.UNDETERMINED: "undetermined",
    State.NOT_RUN: "not run",
}


def _summarise(verdicts: Sequence[Verdict], which: str) -> Verdict:
    applicable = [v for v in verdicts if v.state is not State.NOT_APPLICABLE]
    tally = Counter(v.state for v in applicable)
    state = next((s for s in _PRECEDENCE if tally[s]), State.NOT_APPLICABLE)
    if not applicable:
        sentence = (
            f"None of the {len(verdicts)} residual units is x + F(x) with an F that keeps the dimension."
        )
    else:
        parts = [f"{tally[s]} {_WORDS[s]}" for s in _PRECEDENCE if tally[s]]
        units = "unit that keeps" if len(applicable) == 1 else "units that keep"
        maps = "sum map x + F(x)" if which == "sum" else "whole unit, its last activation included"
        sentence = f"{len(applicable)} {units} the dimension, {maps}: {', '.join(parts)}."
        if changing := len(verdicts) - len(applicable):
            sentence += f" {changing} more {'is' if changing == 1 else 'are'} no candidate for a bijection."
    return Verdict(None, which, state, sentence)


def _kind(sign: Finding) -> str:
    if sign.status is Status.OK:
        return "positive" if sign.value == 1 else "negative"
    if sign.status is Status.SINGULAR:
        return "zero"
    if sign.status in (Status.UNDETERMINED, Status.ON_KINK, Status.OTHER_FUNCTION):
        return "undetermined"
    return "not_run"


def _margin(row: Mapping[str, Finding]) -> float | None:
    found = row.get("sign_margin")
    return None if found is None else found.value


def _sortable_margin(row: Mapping[str, Finding]) -> float:
    margin = _margin(row)
    return math.inf if margin is None else margin


def _is_clipped(depth: Finding) -> bool:
    return depth.value is not None and depth.value > CLIPPED_DEPTH[depth.dtype or "float64"]


def _rest(counts: Mapping[str, int]) -> str:
    """Return sentences on the inputs that decide nothing."""
    text = ""
    if doubtful := counts["undetermined"] + counts["zero"]:
        text += f" At {_inputs(doubtful, 'more')} the sign is zero or undetermined."
    if lost := counts["not_run"]:
        text += f" At {_inputs(lost, 'more')} it was not computed."
    return text


def _elsewhere(reasons: Sequence[str | None]) -> str:
    """Return a sentence on the inputs at which what would be measured is not what the user's module computes."""
    return f" At {_inputs(len(reasons))}, {reasons[0]}." if reasons else ""


def _inputs(number: int, word: str = "") -> str:
    return f"{number} {word + ' ' if word else ''}{'input' if number == 1 else 'inputs'}"


def _arithmetic(rows: Mapping[str, Mapping[str, Finding]]) -> str:
    margins = [m for row in rows.values() if _kind_or_none(row) and (m := _margin(row)) is not None]
    dtypes = sorted({row["sign"].dtype for row in rows.values() if "sign" in row and row["sign"].dtype})
    text = f"{', '.join(dtypes) or 'float64'}; signs checked numerically, rounding not bounded by interval arithmetic"
    if margins:
        text += f" (largest margin {max(margins):.1e}, to be below 1)"
    return text


def _kind_or_none(row: Mapping[str, Finding]) -> bool:
    return "sign" in row and row["sign"].status is Status.OK
