"""Verdicts from the evidence alone: the same evidence gives the same verdict, nothing else changes it.

Sum map g(x) = x + F(x). A continuous injective map of a connected open set of Rⁿ is open (invariance of domain,
Brouwer 1912), so its local degree is the same everywhere; where g is differentiable with det J ≠ 0 the local degree is
sign det J. Opposite signs at two points therefore prove that g is not injective on any connected open set that holds
both. One sign alone proves nothing: a reflection has det J < 0 everywhere and is a bijection.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnet_diffeo_probe.activations import Activation, as_record
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.premises import CONTINUOUS, Premises
from resnet_diffeo_probe.bijectivity.proven import with_certificate, with_witness
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.bijectivity.whole_unit import counted, judge_whole
from resnet_diffeo_probe.bijectivity.witnesses.witness import Witness
from resnet_diffeo_probe.finding import Finding, Status

__all__ = ["State", "Verdict", "unit_verdicts", "violating_share_upper"]


def violating_share_upper(inputs: int) -> float:
    """Return the one-sided 95 % upper bound on a share of which 0 of `inputs` independent draws were seen.

    The exact (Clopper-Pearson) bound 1 − 0.05^(1/n); 0 of 64 gives 4.57 %.
    """
    return float(1 - 0.05 ** (1 / inputs))


def unit_verdicts(
    unit: str,
    *,
    activation: Activation | str | None,
    not_applicable: str | None,
    not_run: str | None,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    witnesses: Sequence[Witness] = (),
    certificate: GlobalCertificate | None = None,
    premises: Premises,
) -> tuple[Verdict, Verdict]:
    """Judge the sum map and the whole unit.

    Args:
        unit: its name.
        activation: what is known of the one after the addition, None if there is none; a name stands for torch's own
            defaults.
        not_applicable: why the unit cannot be a bijection's candidate (it changes the dimension), else None.
        not_run: why nothing was measured, else None.
        rows: input name -> quantity -> finding.
        nonnegative: input name -> whether the unit's input has no negative coordinate there.
        witnesses: pairs found for this unit; only those that are proofs count.
        certificate: of the branch's Lipschitz constant, whether it holds or not.
        premises: what a proof takes for granted.

    Returns:
        The verdicts on `"sum"` and `"unit"`.
    """
    if not_applicable is not None:
        return (
            Verdict(unit, "sum", State.NOT_APPLICABLE, not_applicable),
            Verdict(unit, "unit", State.NOT_APPLICABLE, not_applicable),
        )
    record, continuity = as_record(activation), premises.continuity
    total = _judge_sum(unit, not_run, rows, nonnegative, premises)
    if premises.unproven is not None:
        whole = judge_whole(unit, record, total, rows, nonnegative, continuity)
        return _without_proof(total, premises.unproven), _without_proof(whole, premises.unproven)
    proofs = {found.map: found for found in witnesses if found.is_proof and found.unit == unit}
    total = with_certificate(with_witness(total, proofs.get("sum")), certificate)
    whole = judge_whole(unit, record, total, rows, nonnegative, continuity)
    return total, with_witness(whole, proofs.get("unit"))


def _without_proof(verdict: Verdict, reason: str) -> Verdict:
    """Return what is left of a verdict on a map that is not one function of the user's."""
    if verdict.state is State.NO_VIOLATION_FOUND:
        return replace(verdict, sentence=f"{verdict.sentence} Nothing more can be said: {reason}.")
    if verdict.state is not State.NOT_INJECTIVE_PROVEN:
        return verdict
    sentence = f"What was seen would prove of one continuous map that it is not injective, but {reason}."
    if verdict.map == "sum" and verdict.counts is not None:
        signs = f"The determinant is positive at {counted(verdict.counts['positive'])} and negative at "
        sentence = f"{signs}{verdict.counts['negative']}. {sentence}"
    return replace(verdict, state=State.UNDETERMINED, sentence=sentence, domain=None, evidence=None)


def _judge_sum(  # noqa: PLR0911 - a verdict a case
    unit: str,
    not_run: str | None,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    premises: Premises,
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
        if not premises.continuity.established:
            sentence = (
                f"The determinant is positive at {counted(counts['positive'])} and negative at {counts['negative']}, "
                "which would prove of a continuous map that it folds. That this one is continuous is not established: "
                f"{premises.continuity.broken_by}.{_rest(counts)}"
            )
            return Verdict(
                unit, "sum", State.UNDETERMINED, sentence, arithmetic=_arithmetic(rows), counts=counts
            )
        return _opposite_signs(unit, rows, kinds, counts, nonnegative)
    others = [f.reason for f in signs.values() if f.status is Status.OTHER_FUNCTION]
    if not certain and len(others) == len(signs):
        sentence = f"No sign could be decided: {others[0]}."
        return Verdict(unit, "sum", State.UNDETERMINED, sentence, counts=counts)
    if counts["zero"] and premises.affine and premises.unproven is None:
        return _singular_everywhere(unit, rows, kinds, counts)
    if not certain:
        sentence = (
            f"No sign could be decided: the Jacobian is proven to be singular at {counted(counts['zero'])}; it "
            f"is singular within rounding, or the input lies on a kink, at "
            f"{counted(counts['undetermined'] - len(others))}."
        )
        sentence += _elsewhere(others)
        if counts["not_run"]:
            sentence += f" At {counted(counts['not_run'], 'more')} it was not computed."
        return Verdict(unit, "sum", State.UNDETERMINED, sentence, arithmetic=_arithmetic(rows), counts=counts)
    word = "positive" if counts["positive"] else "negative"
    seen = [name for name, kind in kinds.items() if kind in ("positive", "negative")]
    distinct = len({premises.digests.get(name, name) for name in seen})
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


def _singular_everywhere(
    unit: str, rows: Mapping[str, Mapping[str, Finding]], kinds: Mapping[str, str], counts: dict[str, int]
) -> Verdict:
    """Judge an affine map whose one Jacobian is singular."""
    shown = min(name for name, kind in kinds.items() if kind == "zero")
    return Verdict(
        unit,
        "sum",
        State.NOT_INJECTIVE_PROVEN,
        "The map is affine and its Jacobian, the same everywhere, is proven to be singular: any two points that differ "
        "by a vector of its kernel have one image.",
        domain="all of Rⁿ",
        arithmetic=f"exact: {rows[shown]['sign'].reason}",
        counts=counts,
        evidence={
            "proof": "an affine map with a singular matrix",
            "inputs": [shown],
            "premises": [
                "no operation of the branch bends: it is linear but for a constant",
                "det J = 0 is proven without rounding",
            ],
        },
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
        f"The determinant is positive at {counted(counts['positive'])} and negative at {counts['negative']}: the map "
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
            "premises": [
                CONTINUOUS,
                "both signs are certain: each margin is below 1, and neither input lies on a kink",
                "the two inputs lie in one connected open set",
            ],
        },
    )


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


def _rest(counts: Mapping[str, int]) -> str:
    """Return sentences on the inputs that decide nothing."""
    text = ""
    if doubtful := counts["undetermined"] + counts["zero"]:
        text += f" At {counted(doubtful, 'more')} the sign is zero or undetermined."
    if lost := counts["not_run"]:
        text += f" At {counted(lost, 'more')} it was not computed."
    return text


def _elsewhere(reasons: Sequence[str | None]) -> str:
    """Return a sentence on the inputs at which what would be measured is not what the user's module computes."""
    return f" At {counted(len(reasons))}, {reasons[0]}." if reasons else ""


def _arithmetic(rows: Mapping[str, Mapping[str, Finding]]) -> str:
    margins = [m for row in rows.values() if _kind_or_none(row) and (m := _margin(row)) is not None]
    dtypes = sorted({row["sign"].dtype for row in rows.values() if "sign" in row and row["sign"].dtype})
    text = f"{', '.join(dtypes) or 'float64'}; signs checked numerically, rounding not bounded by interval arithmetic"
    if margins:
        text += f" (largest margin {max(margins):.1e}, to be below 1)"
    return text


def _kind_or_none(row: Mapping[str, Finding]) -> bool:
    return "sign" in row and row["sign"].status is Status.OK
