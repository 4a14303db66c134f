"""What witnesses and certificates do to a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.bijectivity.witnesses.witness import EQUATION, Witness

__all__ = ["with_certificate", "with_witness"]


def _checked(witness: Witness) -> str:
    found = witness.enclosure
    text = f"float64; the map itself was run at both points (images equal to {EQUATION:g} of the distance)"
    if found is None or found.radius is None:
        return text
    text += f", and a point within {found.radius:.1e} of one has exactly the other's image (Newton and Kantorovich)"
    return f"{text}, except with a probability below {found.failure:.0e}" if found.failure else text


def with_witness(verdict: Verdict, witness: Witness | None) -> Verdict:
    """Return the verdict with a pair of points that have one image; it proves the map not injective by itself.

    Args:
        verdict: on the same map.
        witness: a proof, or None.
    """
    if witness is None or not witness.is_proof:
        return verdict
    pair = (
        f"Two points {witness.relative_distance:.2g} of their norm apart have one image, in {witness.domain}; "
        f"they were checked by {' and by '.join(witness.checked_by)}."
    )
    evidence = {**(verdict.evidence or {}), **_facts(witness)}
    if verdict.state is State.NOT_INJECTIVE_PROVEN:
        return replace(verdict, sentence=f"{verdict.sentence} {pair}", evidence=evidence)
    evidence = {
        "proof": "two different points with one image",
        "inputs": witness.about.get("inputs", []),
        **evidence,
    }
    return replace(
        verdict,
        state=State.NOT_INJECTIVE_PROVEN,
        sentence=pair,
        domain=witness.domain,
        arithmetic=_checked(witness),
        violating_share_upper_95=None,
        evidence=evidence,
    )


def _facts(witness: Witness) -> dict[str, Any]:
    row = witness.to_json()
    names = {
        "file": "witness_file",
        "kind": "witness_kind",
        "distance": "witness_distance",
        "relative_distance": "witness_relative_distance",
        "gap": "witness_gap",
        "premises": "witness_premises",
        "domain": "witness_domain",
        "checked_by": "witness_checked_by",
        "nearest_input": "witness_nearest_input",
        "fold_distance": "fold_distance_relative_to_input",
        "first_relative_distance": "witness_first_relative_distance",
        "grown_relative_distance": "witness_grown_relative_distance",
    }
    return {name: row[key] for key, name in names.items() if key in row}


def with_certificate(verdict: Verdict, certificate: GlobalCertificate | None) -> Verdict:
    """Return the verdict on the sum map with what a bound of Lip(F) says.

    Args:
        verdict: on the sum map.
        certificate: of the same unit, None if it was not made.
    """
    if certificate is None or certificate.upper is None:
        return verdict
    evidence = {**(verdict.evidence or {}), "lipschitz_upper_bound": certificate.upper}
    if not certificate.holds:
        # NOT RUN and UNDETERMINED rest on nothing: a bound that proves nothing does not change that
        return replace(verdict, evidence=evidence) if verdict.evidence is not None else verdict
    if verdict.state is State.NOT_INJECTIVE_PROVEN or (verdict.counts or {}).get("negative"):
        sentence = (
            f"Contradictory: the branch is certified to contract (Lipschitz constant at most {certificate.upper:.4g}), "
            f"so the determinant is positive everywhere, but: {verdict.sentence}"
        )
        return replace(verdict, state=State.UNDETERMINED, sentence=sentence, evidence=evidence)
    evidence |= {"proof": "Lip(F) < 1 (Banach's fixed point theorem)"}
    if certificate.inverse_lipschitz is not None:
        evidence["inverse_lipschitz_upper_bound"] = certificate.inverse_lipschitz
    if certificate.lower is not None:
        evidence["lipschitz_lower_bound"] = certificate.lower
    return replace(
        verdict,
        state=State.CERTIFIED_INJECTIVE,
        sentence=(
            f"The branch contracts: its Lipschitz constant is at most {certificate.upper:.4g}, so x + F(x) is a "
            "bijection of the whole space, with a Lipschitz inverse."
        ),
        domain=certificate.domain,
        arithmetic=certificate.arithmetic,
        violating_share_upper_95=None,
        evidence=evidence,
    )
