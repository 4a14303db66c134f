"""All that can be proven of one unit from the signs at its inputs: witnesses, certificates, radii, inverse errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.activations import Activation, as_record
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import (
    GlobalCertificate,
    global_certificate,
)
from resnet_diffeo_probe.bijectivity.certificates.certificate_local import LocalCertificate, local_certificate
from resnet_diffeo_probe.bijectivity.certificates.error_bound import BranchBounds, branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.inverse_bound import inverse_bound
from resnet_diffeo_probe.bijectivity.certificates.rounding import forward_error
from resnet_diffeo_probe.bijectivity.inverse.inverse_consistency import (
    INVERSE_QUANTITIES,
    inverse_consistency,
)
from resnet_diffeo_probe.bijectivity.search.search import SearchEffort, clipping_witness, fold_witness
from resnet_diffeo_probe.bijectivity.search.twin import twin_witness
from resnet_diffeo_probe.bijectivity.witnesses.witness import UnitMaps, Witness, check
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.measures.record.measure import Of
from resnet_diffeo_probe.measures.registry import keys_of

__all__ = ["PROOF_QUANTITIES", "RADIUS_QUANTITIES", "Proofs", "prove"]

# Radii of balls on which the sum map is injective, by norm.
_NORMS = {"certified_radius_l2": 2, "certified_radius_linf": math.inf}
#: Their names.
RADIUS_QUANTITIES = tuple(_NORMS)
#: Every finding that `prove` adds to the measures, in the order in which they are stored.
PROOF_QUANTITIES = keys_of(Of.PROOF)

_Result = TypeVar("_Result")


@dataclass
class Proofs:
    """What was proven of a unit.

    Attributes:
        witnesses: at most one for each map: a proof, or a numerical pair that proves nothing.
        certificate: of the branch's Lipschitz constant, whether it holds or not; None if it was not made.
        findings: input name -> quantity of `PROOF_QUANTITIES` -> finding, for the inputs that were looked at.
        balls: input name -> the certified balls around it, one for each norm.
        notes: what went wrong, one sentence each; the rest went on.
    """

    witnesses: tuple[Witness, ...] = ()
    certificate: GlobalCertificate | None = None
    findings: dict[str, dict[str, Finding]] = field(default_factory=dict)
    balls: dict[str, tuple[LocalCertificate, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, run: Callable[[], _Result]) -> _Result | None:
        """Run one part; an error in it is a note, and the other parts go on."""
        try:
            return run()
        except (RuntimeError, ValueError, ArithmeticError, MemoryError, DiffeoProbeError) as error:
            self.notes.append(
                f"{what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
            return None


def prove(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    inputs: Tensor,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, Finding]],
    *,
    activation: Activation | str | None = None,
    module: nn.Module | None = None,
    detailed_inputs: int = 0,
    seed: int = 0,
) -> Proofs:
    """Look for witnesses and certificates of one unit.

    Args:
        unit: in float64.
        jacobian: of that unit.
        inputs: (N, *shape) float64, the unit's inputs.
        names: of the inputs.
        rows: input name -> quantity -> finding, as measured: `sign` leads the search.
        activation: what is known of the one after the addition; a name stands for torch's own defaults.
        module: the user's network in float64 and evaluation mode, for an independent check of every witness.
        detailed_inputs: for how many inputs, the first ones, radii and inverse errors are computed.
        seed: of random directions.

    Raises:
        ValueError: the inputs are not float64.
    """
    if inputs.dtype != torch.float64:
        raise ValueError("proofs are made in float64: convert the unit and its inputs")
    record = as_record(activation)
    proofs = Proofs()
    proofs.certificate = proofs.attempt(
        "the Lipschitz bound", lambda: global_certificate(jacobian, x=inputs[:1] if len(names) else None)
    )
    bounds = proofs.attempt("bounds of the branch", lambda: branch_bounds(jacobian))
    preimages: list[tuple[str, Tensor, Tensor]] = []
    for index, name in enumerate(names[:detailed_inputs]):
        x = inputs[index : index + 1]
        row = proofs.findings.setdefault(name, {})
        if not bool(torch.isfinite(x).all() & torch.isfinite(jacobian.at(x).branch_output).all()):
            reason = "the unit's input, or what its branch makes of it, holds NaN or infinity"
            row |= dict.fromkeys(PROOF_QUANTITIES, Finding.missing(Status.ERROR, reason))
            continue

        def inverse(x: Tensor = x, name: str = name) -> dict[str, Finding]:
            found = inverse_consistency(jacobian, x, certificate=proofs.certificate, bounds=bounds, seed=seed)
            if found.other_preimage is not None:
                preimages.append((name, x, found.other_preimage))
            return found.findings

        row |= proofs.attempt(f"the inverse at {name}", inverse) or _lost(INVERSE_QUANTITIES)
        balls = proofs.attempt(
            f"the radius at {name}",
            lambda x=x: _balls(jacobian, x, bounds),  # type: ignore[misc]
        )
        if balls:
            proofs.balls[name] = balls
        row |= _radii(balls, bounds is not None)
    proofs.witnesses = tuple(
        found
        for found in (
            proofs.attempt(
                "the search for a pair of the sum map",
                lambda: _sum_witness(unit, jacobian, inputs, names, rows, module, preimages, bounds, seed),
            ),
            proofs.attempt(
                "the search for a pair of the whole unit",
                lambda: clipping_witness(unit, jacobian, inputs, names, module=module, bounds=bounds),
            )
            if record is not None and record.clips_negative
            else None,
        )
        if found is not None
    )
    return proofs


def _sum_witness(
    unit: UnitMaps,
    jacobian: UnitJacobian,
    inputs: Tensor,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, Finding]],
    module: nn.Module | None,
    preimages: Sequence[tuple[str, Tensor, Tensor]],
    bounds: BranchBounds | None,
    seed: int,
) -> Witness | None:
    """Return the pair at a fold, with the largest other pair as its `grown`; only where folds were seen."""
    effort = SearchEffort()
    signs = [_sign(rows.get(name, {}).get("sign")) for name in names]
    folded = fold_witness(unit, jacobian, inputs, signs, names, module=module, effort=effort, bounds=bounds)
    others = [
        check(
            unit, "sum", x, other, "twin of an input", module=module, jacobian=jacobian, bounds=bounds
        ).with_about(inputs=[name], nearest_input=name)
        for name, x, other in preimages
    ]
    if folded is not None and effort.twins:
        few = slice(0, effort.twins)
        twin = twin_witness(unit, jacobian, inputs[few], names[few], module=module, bounds=bounds, seed=seed)
        others += [] if twin is None else [twin]
    found = sorted((w for w in others if w.agrees), key=lambda w: (w.is_proof, w.relative_distance))
    if folded is None or not found:
        return folded if folded is not None else (found[-1] if found else None)
    largest = found[-1]
    if largest.is_proof != folded.is_proof:
        return largest if largest.is_proof else folded
    if largest.relative_distance <= folded.about.get("grown_relative_distance", folded.relative_distance):
        return folded
    return replace(folded, grown=largest).with_about(
        grown_kind=largest.kind,
        grown_distance=largest.distance,
        grown_relative_distance=largest.relative_distance,
        grown_nearest_input=largest.about.get("nearest_input"),
    )


def _sign(finding: Finding | None) -> int | None:
    certain = finding is not None and finding.status is Status.OK and finding.value is not None
    return int(finding.value) if certain and finding is not None and finding.value is not None else None


def _lost(quantities: Sequence[str]) -> dict[str, Finding]:
    return dict.fromkeys(quantities, Finding.missing(Status.ERROR, "it failed; see the notes of the unit"))


def _balls(jacobian: UnitJacobian, x: Tensor, bounds: BranchBounds | None) -> tuple[LocalCertificate, ...]:
    if bounds is None:
        return ()
    factorization = jacobian.at(x).factorize(keep=True)
    forward = forward_error(jacobian, x)
    inverse = None if forward is None else inverse_bound(factorization, bounds, forward)
    lower = None if inverse is None else inverse.sigma_min
    return tuple(
        local_certificate(factorization, bounds, p=p, sigma_min=lower, inverse=inverse)
        for p in _NORMS.values()
    )


def _radii(balls: tuple[LocalCertificate, ...] | None, bounded: bool) -> dict[str, Finding]:
    if not bounded:
        none = Finding.missing(Status.NOT_RUN, "no bounds of this branch's activations are known")
        return dict.fromkeys(RADIUS_QUANTITIES, none)
    if not balls:
        return _lost(RADIUS_QUANTITIES)
    return {name: _radius_finding(ball) for name, ball in zip(RADIUS_QUANTITIES, balls, strict=True)}


def _radius_finding(certificate: LocalCertificate) -> Finding:
    about = f"{certificate.criterion}; limited by {certificate.limited_by}; {certificate.arithmetic}"
    if certificate.radius is None:
        return Finding.missing(Status.INFINITE, about, Evidence.CERTIFIED)
    if not math.isfinite(certificate.radius):
        return Finding.missing(
            Status.ERROR, "the input, or what the branch makes of it, holds NaN or infinity"
        )
    return Finding(certificate.radius, Evidence.CERTIFIED, dtype="float64", reason=about)
