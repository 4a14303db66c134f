"""Proofs as they are kept between two runs, and back: a pair that comes back counts only if it passes its check."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.analysis.result.finding_row import to_finding, to_number, to_row
from resnet_diffeo_probe.analysis.result.part_check import validate_part
from resnet_diffeo_probe.analysis.result.schema import validate_row
from resnet_diffeo_probe.analysis.steps.result_parts import certificates_json
from resnet_diffeo_probe.analysis.store.kept_steps import Content, UnusableError
from resnet_diffeo_probe.bijectivity import Proofs, Witness
from resnet_diffeo_probe.bijectivity.certificates.branch_bounds import BranchBounds, branch_bounds
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import (
    GlobalCertificate,
    LayerBound,
    global_certificate,
)
from resnet_diffeo_probe.bijectivity.certificates.certificate_local import LocalCertificate
from resnet_diffeo_probe.bijectivity.proofs import PROOF_QUANTITIES
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair, check_pair
from resnet_diffeo_probe.bijectivity.witnesses.witness import Map, check
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.units import Discovery, ResidualUnit

__all__ = ["pair_content", "pair_from", "proofs_content", "proofs_from"]

# Between two machines, the last digits of a distance may differ.
_ROUNDING = 1e-9


def proofs_content(proofs: Proofs) -> Content:
    """Return the proofs of a unit as they are kept; notes of what failed are not: what failed is tried again."""
    arrays: dict[str, Tensor] = {}
    witnesses = []
    for place, witness in enumerate(proofs.witnesses):
        witnesses.append({"map": witness.map, **_witness_json(witness, f"{place}", arrays)})
        if witness.grown is not None:
            witnesses[-1]["grown"] = _witness_json(witness.grown, f"{place}.grown", arrays)
    certificate = proofs.certificate
    return Content(
        {
            "witnesses": witnesses,
            "certificate": None
            if certificate is None
            else {
                "upper": certificate.upper,
                "lower": certificate.lower,
                "layers": [[b.name, b.upper, b.lower, b.method] for b in certificate.layers],
                "reason": certificate.reason,
            },
            "findings": {
                name: {quantity: [*to_row(finding)[:-1], finding.reason] for quantity, finding in row.items()}
                for name, row in proofs.findings.items()
            },
            "balls": {
                name: [
                    [b.p, b.radius, b.classical_radius, b.units, b.criterion, b.limited_by, b.failure]
                    for b in balls
                ]
                for name, balls in proofs.balls.items()
            },
        },
        arrays,
    )


def proofs_from(
    content: Content,
    unit: ResidualUnit,
    names: Collection[str],
    module: nn.Module | None,
    *,
    jacobian: UnitJacobian,
    believed: bool = False,
) -> Proofs:
    """Return the proofs of a unit that were kept.

    Every pair is run through the unit, and through the user's own module, again: distances, the gap, the domain, who
    checked it and what the proof rests on are what comes out now. A bound of Lip(F) that proves the unit injective is
    computed again.

    Args:
        content: of `proofs_content`.
        unit: with parameters in float64.
        names: of the inputs that were looked at.
        module: the user's network in float64 and evaluation mode.
        jacobian: of the unit.
        believed: whether a bound of Lip(F) was computed in this process, and need not be computed again.

    Raises:
        UnusableError: a pair is no proof, a bound is another one, or what is said of a pair is not true of its points.
        ValueError, TypeError, KeyError, ...: the content is none of `proofs_content`.
        ResultError: no result could hold it.
    """
    kept = content.json
    if unknown := {*kept["findings"], *kept["balls"]}.difference(names):
        raise ValueError(f"nothing was looked for at {sorted(unknown)[0]}")
    certificate = None if kept["certificate"] is None else _certificate_from(kept["certificate"], unit.name)
    if certificate is not None and certificate.holds and not believed:
        now = global_certificate(jacobian, lower=False).upper
        if now is None or not math.isclose(now, to_number(certificate.upper), rel_tol=_ROUNDING):
            raise UnusableError("its bound is another one when it is computed again")
    checked = _PairCheck(unit, module, jacobian, branch_bounds(jacobian) if kept["witnesses"] else None)
    proofs = Proofs(
        witnesses=tuple(
            _witness_from(entry, f"{place}", content.arrays, checked)
            for place, entry in enumerate(kept["witnesses"])
        ),
        certificate=certificate,
        findings={name: _findings_from(row, unit.name, name) for name, row in kept["findings"].items()},
        balls={
            name: tuple(LocalCertificate(to_number(p), *rest) for p, *rest in balls)
            for name, balls in kept["balls"].items()
        },
    )
    validate_part("witnesses", [{"unit": w.unit, **w.to_json()} for w in proofs.witnesses])
    validate_part("certificates", certificates_json({unit.name: proofs}))
    return proofs


def pair_content(found: PixelPair | NoPixelPair) -> Content:
    """Return a pair of images, or why there is none, as it is kept."""
    if isinstance(found, NoPixelPair):
        return Content({"reason": found.reason})
    about = {"unit": found.unit, "rank": found.rank, "name": found.name}
    return Content(about, {"x2": found.x2.detach().contiguous()})


def pair_from(
    content: Content, discovery: Discovery, x: Tensor, module: nn.Module | None
) -> PixelPair | NoPixelPair:
    """Return the pair of images that was kept, run through the network and the user's own module again.

    Args:
        content: of `pair_content`.
        discovery: the network in float64.
        x: (1, *shape) float64, the image that was looked at.
        module: the user's network in float64 and evaluation mode.

    Raises:
        UnusableError: it is no proof, or of another image.
        ValueError, TypeError, KeyError, ...: the content is none of `pair_content`.
        ResultError: no result could hold it.
    """
    kept = content.json
    if "reason" in kept:
        validate_part("pixel_pair", {"is_proof": False, "reason": kept["reason"]})
        return NoPixelPair(kept["reason"])
    pair = check_pair(discovery, x, _array(content.arrays, "x2", x), kept["unit"], module)
    pair = replace(pair, rank=kept["rank"], name=kept["name"])
    if not pair.is_proof:
        raise UnusableError("its pair is no proof when it is checked again")
    validate_part("pixel_pair", pair.to_json())
    return pair


def _certificate_from(kept: Mapping[str, Any], unit: str) -> GlobalCertificate:
    layers = tuple(LayerBound(*layer) for layer in kept["layers"])
    return GlobalCertificate(unit, kept["upper"], kept["lower"], layers, kept["reason"])


def _witness_json(witness: Witness, name: str, arrays: dict[str, Tensor]) -> dict[str, Any]:
    # each array has bytes of its own: two pairs may share a point
    arrays |= {f"{name}.x{i}": x.detach().contiguous().clone() for i, x in ((1, witness.x1), (2, witness.x2))}
    return {"kind": witness.kind, "is_proof": witness.is_proof, "about": witness.about}


@dataclass(frozen=True, eq=False)
class _PairCheck:
    """What the pairs of one unit are checked with."""

    unit: ResidualUnit
    module: nn.Module | None
    jacobian: UnitJacobian
    bounds: BranchBounds | None

    def run(self, entry: Mapping[str, Any], which: Map, name: str, arrays: Mapping[str, Tensor]) -> Witness:
        example = torch.empty(1, *self.unit.input_shape, dtype=torch.float64, device="meta")
        x1, x2 = (_array(arrays, f"{name}.x{i}", example) for i in (1, 2))
        witness = check(
            self.unit,
            which,
            x1,
            x2,
            entry["kind"],
            module=self.module,
            about=dict(entry["about"]),
            jacobian=self.jacobian,
            bounds=self.bounds,
        )
        if not witness.agrees or witness.is_proof != entry["is_proof"]:
            raise UnusableError("a pair is no proof when it is checked again")
        return witness


def _witness_from(
    entry: Mapping[str, Any],
    name: str,
    arrays: Mapping[str, Tensor],
    checked: _PairCheck,
) -> Witness:
    which: Map = entry["map"]
    if which not in ("sum", "unit"):
        raise ValueError(f"a unit has no map {which!r}")
    witness = checked.run(entry, which, name, arrays)
    if (more := entry.get("grown")) is None:
        return witness
    grown = checked.run(more, which, f"{name}.grown", arrays)
    if not math.isclose(grown.distance, witness.about["grown_distance"], rel_tol=_ROUNDING):
        raise UnusableError("its pair has grown to another size than is said")
    return replace(witness, grown=grown)


def _array(arrays: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    found = arrays[name]
    if found.dtype != like.dtype or found.shape != like.shape:
        raise ValueError(f"{name} is no point")
    # memory of its own, aligned as any tensor's: sums over it round as they did
    return found.clone()


def _findings_from(row: Mapping[str, list[Any]], unit: str, name: str) -> dict[str, Finding]:
    found = {quantity: to_finding(*finding) for quantity, finding in row.items()}
    for quantity, finding in found.items():
        if quantity not in PROOF_QUANTITIES:
            raise ValueError(f"{quantity} comes from no proof")
        validate_row({"unit": unit, "input": name, "quantity": quantity, **finding.to_json()})
    return found
