"""Verdicts from the evidence alone: the same evidence gives the same verdict, nothing else changes it.

Sum map g(x) = x + F(x). A continuous injective map of a connected open set of Rⁿ is open (invariance of domain,
Brouwer 1912), so its local degree is the same everywhere; where g is differentiable with det J ≠ 0 the local degree is
sign det J. Opposite signs at two points therefore prove that g is not injective on any connected open set that holds
both. One sign alone proves nothing: a reflection has det J < 0 everywhere and is a bijection.

Whole unit a(g(x)) with a continuous a that is constant on an interval, as a ReLU is below zero. If g_i(x) lies inside
it at some x, a neighbourhood of x is mapped into the hyperplane y_i = a(g_i(x)), so the image of that neighbourhood is
not open and a∘g is not injective there. This is the remark of section 3.3 of 'Residual Networks as Flows of
Diffeomorphisms' as a proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from resnet_diffeo_probe.activations import Activation, as_record
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.continuity import Continuity
from resnet_diffeo_probe.bijectivity.proven import with_certificate, with_witness
from resnet_diffeo_probe.bijectivity.signs import arithmetic_of, kind_of, margin_of, sortable_margin
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.bijectivity.witnesses.witness import Witness
from resnet_diffeo_probe.finding import Finding, Status

__all__ = ["State", "Verdict", "unit_verdicts", "violating_share_upper"]

#: The premise of invariance of domain, as proofs name it.
CONTINUOUS = "the sum map is continuous: every operation of the branch is on the list of continuous ones"
#: A clipped coordinate must lie this far below zero, relative to the largest one, for the rounding of a forward pass
#: in this arithmetic not to matter.
CLIPPED_DEPTH = {"float64": 1e-9, "float32": 1e-3}


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
    digests: Mapping[str, str] | None = None,
    continuity: Continuity,
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
        digests: input name -> fingerprint, equal for equal inputs: copies of one are one draw. None: all differ.
        continuity: of the sum map. Invariance of domain is about continuous maps: without it signs and clipped
            coordinates prove nothing, pairs of points still do.

    Returns:
        The verdicts on `"sum"` and `"unit"`.
    """
    if not_applicable is not None:
        return (
            Verdict(unit, "sum", State.NOT_APPLICABLE, not_applicable),
            Verdict(unit, "unit", State.NOT_APPLICABLE, not_applicable),
        )
    proofs = {found.map: found for found in witnesses if found.is_proof and found.unit == unit}
    total = _judge_sum(unit, not_run, rows, nonnegative, continuity, digests or {})
    total = with_certificate(with_witness(total, proofs.get("sum")), certificate)
    whole = _judge_whole(unit, as_record(activation), total, rows, nonnegative, continuity)
    return total, with_witness(whole, proofs.get("unit"))


def _judge_sum(
    unit: str,
    not_run: str | None,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    continuity: Continuity,
    digests: Mapping[str, str],
) -> Verdict:
    signs = {name: row["sign"] for name, row in rows.items() if "sign" in row}
    kinds = {name: kind_of(finding) for name, finding in signs.items()}
    tally = Counter(kinds.values())
    counts = {kind: tally[kind] for kind in ("positive", "negative", "zero", "undetermined", "not_run")}
    certain = counts["positive"] + counts["negative"]
    if not_run is not None or not signs or counts["not_run"] == len(signs):
        first = next((f.reason for f in signs.values() if f.reason), None)
        reason = not_run or first or "the sign of the determinant was not measured"
        return Verdict(unit, "sum", State.NOT_RUN, f"Not run: {reason}.", counts=counts)
    if counts["positive"] and counts["negative"]:
        if not continuity.established:
            sentence = (
                f"The determinant is positive at {_inputs(counts['positive'])} and negative at {counts['negative']}, "
                "which would prove of a continuous map that it folds. That this one is continuous is not established: "
                f"{continuity.broken_by}.{_rest(counts)}"
            )
            return Verdict(
                unit, "sum", State.UNDETERMINED, sentence, arithmetic=arithmetic_of(rows), counts=counts
            )
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
        return Verdict(
            unit, "sum", State.UNDETERMINED, sentence, arithmetic=arithmetic_of(rows), counts=counts
        )
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
        arithmetic=arithmetic_of(rows),
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
            names, key=lambda name: (not nonnegative.get(name, False), sortable_margin(rows[name]), name)
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
        arithmetic=arithmetic_of(rows),
        counts=counts,
        evidence={
            "proof": "opposite signs of the Jacobian determinant (invariance of domain)",
            "inputs": pair,
            "signs": [1, -1],
            "sign_margins": [margin_of(rows[name]) for name in pair],
            "premises": [
                CONTINUOUS,
                "both signs are certain: each margin is below 1, and neither input lies on a kink",
                "the two inputs lie in one connected open set",
            ],
        },
    )


def _judge_whole(
    unit: str,
    activation: Activation | None,
    total: Verdict,
    rows: Mapping[str, Mapping[str, Finding]],
    nonnegative: Mapping[str, bool],
    continuity: Continuity,
) -> Verdict:
    depths = {name: found for name, row in rows.items() if (found := row.get("clipped_depth")) is not None}
    clipped = {
        name: float(found.value) for name, found in depths.items() if _is_clipped(found) and found.value
    }
    if activation is not None and activation.continuous and activation.clips and clipped:
        if continuity.established:
            return _flattened(unit, activation, total, rows, nonnegative, clipped, depths)
        sentence = (
            f"The {activation.display} after the addition clips coordinates at {_inputs(len(clipped))}, which would "
            f"flatten a neighbourhood under a continuous sum. That this one is continuous is not established: "
            f"{continuity.broken_by}."
        )
        return Verdict(unit, "unit", State.UNDETERMINED, sentence, counts=total.counts)
    same = {
        "domain": total.domain,
        "arithmetic": total.arithmetic,
        "counts": total.counts,
        "evidence": total.evidence,
    }
    if activation is None or activation.injective:
        follows = "No activation follows the addition"
        if activation is not None:
            follows = f"{activation.label} is injective"
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
    if not activation.clips:
        sentence = (
            f"{activation.label} after the addition may give different sums one image; "
            "no such pair was looked for."
        )
    elif any(found.value is not None for found in depths.values()):
        sentence = (
            f"No clipped coordinate was seen at these inputs; what {activation.label} does to others is open."
        )
    else:
        sentence = f"Whether the {activation.display} after the addition clips coordinates was not measured."
    return Verdict(unit, "unit", State.UNDETERMINED, sentence, counts=total.counts)


def _flattened(
    unit: str,
    activation: Activation,
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
    to = "zero" if all(constant.value == 0 for constant in activation.constants or ()) else "a constant"
    sentence = (
        f"The {activation.display} after the addition sets coordinates to {to} at {len(clipped)} of "
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
            "premises": [
                CONTINUOUS,
                "the coordinate lies below zero by more than the rounding of its forward pass",
            ],
        },
    )


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
