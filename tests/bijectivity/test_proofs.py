"""All proofs of a unit together, and what they do to its verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_diffeo_probe.bijectivity import PROOF_QUANTITIES, Proofs, State, Verdict, prove, unit_verdicts
from resnet_diffeo_probe.bijectivity.certificates.certificate_global import GlobalCertificate
from resnet_diffeo_probe.bijectivity.certificates.enclosure import Enclosure
from resnet_diffeo_probe.bijectivity.continuity import Continuity
from resnet_diffeo_probe.bijectivity.network_verdict import network_verdicts
from resnet_diffeo_probe.bijectivity.witnesses.witness import check
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from resnet_diffeo_probe.units import discover

CONTINUOUS = Continuity(("add", "relu"))


def rows_at(jacobian: UnitJacobian, inputs: Tensor) -> tuple[list[str], dict[str, dict[str, Finding]]]:
    names = [f"i{k}" for k in range(len(inputs))]
    return names, {
        n: {"sign": determinant(jacobian.at(x[None])).sign} for n, x in zip(names, inputs, strict=True)
    }


def judge(unit: Any, rows: Any, proofs: Proofs, activation: str | None = None) -> tuple[Verdict, Verdict]:
    return unit_verdicts(
        unit.name,
        activation=activation,
        not_applicable=None,
        not_run=None,
        rows=rows,
        nonnegative={},
        continuity=CONTINUOUS,
        witnesses=proofs.witnesses,
        certificate=proofs.certificate,
    )


class Residual(nn.Module):
    """A spectrally normalised residual block: i-ResNet's."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * channels, channels, 3, padding=1)
        with torch.no_grad():
            for conv in (self.conv1, self.conv2):
                v = torch.randn(1, conv.in_channels, size, size)
                for _ in range(100):
                    u = F.conv2d(v / v.norm(), conv.weight, padding=1)
                    v = F.conv_transpose2d(u, conv.weight, padding=1)
                conv.weight.mul_(0.8 / u.norm())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.elu(self.conv1(x)))


def test_an_invertible_residual_network_is_certified_in_every_unit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*(Residual(2, 6) for _ in range(3)))
    x = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    discovery = discover(net.double().eval(), x[:1])
    _, activations = discovery.run(x)
    assert len(discovery.units) == 3
    verdicts: list[Verdict] = []
    for unit in discovery.units:
        jacobian = UnitJacobian(unit)
        inputs = activations[unit.name].input
        names, rows = rows_at(jacobian, inputs)
        proofs = prove(unit, jacobian, inputs, names, rows, module=net, detailed_inputs=1)
        assert not proofs.notes
        assert proofs.witnesses == ()
        verdicts += judge(unit, rows, proofs)
        error = proofs.findings["i0"]["inverse_error_exact"].value
        assert error is not None
        assert error < 1e-12
    assert {v.state for v in verdicts} == {State.CERTIFIED_INJECTIVE}
    assert {v.domain for v in verdicts} == {"Rⁿ"}
    assert {v.state for v in network_verdicts(verdicts)} == {State.CERTIFIED_INJECTIVE}


@pytest.mark.parametrize("kind", ["dense", "deep", "tanh", "basic", "bottleneck"])
def test_a_folding_unit_is_proven_with_its_pair(make_unit: Any, kind: str) -> None:
    proven = 0
    for seed in range(3):
        unit = make_unit(seed, kind, scale=2.0, activation="relu")
        jacobian = UnitJacobian(unit)
        inputs = torch.cat([unit.draw(s) for s in range(12)])
        names, rows = rows_at(jacobian, inputs)
        proofs = prove(unit, jacobian, inputs, names, rows, activation="relu", detailed_inputs=1)
        assert not proofs.notes
        assert set(proofs.findings["i0"]) == set(PROOF_QUANTITIES)
        total, whole = judge(unit, rows, proofs, "relu")
        found = {w.map: w for w in proofs.witnesses}
        assert whole.state is State.NOT_INJECTIVE_PROVEN
        if {row["sign"].value for row in rows.values()} >= {1, -1}:
            proven += 1
            assert total.state is State.NOT_INJECTIVE_PROVEN
            assert total.evidence is not None
            assert total.evidence["witness_file"] == "block.sum.npz"
            assert total.evidence["proof"].startswith("opposite signs")
            assert found["sum"].is_proof
            assert "one image" in total.sentence
    assert proven >= 1


def test_a_reflection_is_never_called_non_injective(build_unit: Any) -> None:
    unit = build_unit([(F.linear, (torch.diag(torch.tensor([-2.0, 0.0]).double()),))], (2,))
    jacobian = UnitJacobian(unit)
    inputs = torch.randn(6, 2, dtype=torch.float64)
    names, rows = rows_at(jacobian, inputs)
    assert {row["sign"].value for row in rows.values()} == {-1}
    proofs = prove(unit, jacobian, inputs, names, rows, detailed_inputs=2)
    assert proofs.witnesses == ()
    total, whole = judge(unit, rows, proofs)
    assert (total.state, whole.state) == (State.NO_VIOLATION_FOUND, State.NO_VIOLATION_FOUND)
    # affine: injective in every ball, and the finding says infinite
    for name in ("certified_radius_l2", "certified_radius_linf"):
        finding = proofs.findings["i0"][name]
        assert (finding.status, finding.evidence) == (Status.INFINITE, Evidence.CERTIFIED)


def witness_of(x2: float) -> Any:
    class Folded:
        name = "block"

        def sum_map(self, x: Tensor) -> Tensor:
            return x.abs()

        forward = sum_map

    found = check(Folded(), "sum", torch.ones(1, 1).double(), torch.full((1, 1), x2).double(), "fold")
    # what a factorisation would say of |x|: J = ±1, no kink within 1
    return replace(found, enclosure=Enclosure(2e-15, 1.0, 1e-15, 1e-15, 1.0, 0.0, 0.0, 1.0, 0.0))


def verdict_with(kinds: str, witnesses: Any = (), upper: float | None = None) -> Verdict:
    rows = {f"i{k}": {"sign": Finding(1 if kind == "+" else -1)} for k, kind in enumerate(kinds)}
    certificate = GlobalCertificate("block", upper, None, ()) if upper is not None else None
    return unit_verdicts(
        "block",
        activation=None,
        not_applicable=None,
        not_run=None if kinds else "nothing was measured",
        rows=rows,
        nonnegative={},
        continuity=CONTINUOUS,
        witnesses=witnesses,
        certificate=certificate,
    )[0]


def test_a_pair_alone_is_a_proof_and_a_failed_one_is_nothing() -> None:
    good, bad = witness_of(-1.0), witness_of(-1.1)
    assert good.is_proof
    assert not bad.is_proof
    # without what a proof rests on it is a numerical pair, and so it is where a point would have to move too far
    assert not replace(good, enclosure=None).is_proof
    for radius in (None, 1.5):
        assert not replace(good, enclosure=replace(good.enclosure, radius=radius)).is_proof
    for kinds in ("++", "--", ""):
        assert verdict_with(kinds, (good,)).state is State.NOT_INJECTIVE_PROVEN
        assert verdict_with(kinds, (bad,)) == verdict_with(kinds)
    proven = verdict_with("++", (good,))
    assert proven.violating_share_upper_95 is None
    assert "float64" in (proven.arithmetic or "")
    assert "Rⁿ" in (proven.domain or "")
    other = unit_verdicts(
        "another",
        activation=None,
        not_applicable=None,
        not_run="x",
        rows={},
        nonnegative={},
        continuity=CONTINUOUS,
        witnesses=(good,),
    )
    assert other[0].state is State.NOT_RUN  # a pair of one unit proves nothing about another


def test_a_certificate_certifies_only_below_one_and_never_against_the_signs() -> None:
    assert verdict_with("++", upper=0.99).state is State.CERTIFIED_INJECTIVE
    assert verdict_with("", upper=0.99).state is State.CERTIFIED_INJECTIVE
    assert verdict_with("++", upper=1.0).state is State.NO_VIOLATION_FOUND
    assert verdict_with("++", upper=7.0) == verdict_with("++")
    mixed = verdict_with("+-", upper=7.0)
    assert mixed.state is State.NOT_INJECTIVE_PROVEN
    assert mixed.evidence is not None
    assert mixed.evidence["lipschitz_upper_bound"] == 7.0
    for kinds in ("+-", "--"):
        contradiction = verdict_with(kinds, upper=0.5)
        assert contradiction.state is State.UNDETERMINED
        assert "Contradictory" in contradiction.sentence
    assert verdict_with("++", (witness_of(-1.0),), upper=0.5).state is State.UNDETERMINED


def test_one_failing_part_is_a_note(make_unit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = make_unit(0, "dense", scale=2.0)
    jacobian = UnitJacobian(unit)
    inputs = torch.cat([unit.draw(s) for s in range(8)])
    names, rows = rows_at(jacobian, inputs)

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the roof fell in")

    monkeypatch.setattr("resnet_diffeo_probe.bijectivity.proofs.inverse_consistency", broken)
    proofs = prove(unit, jacobian, inputs, names, rows, detailed_inputs=1)
    assert any("the roof fell in" in note for note in proofs.notes)
    assert proofs.certificate is not None
    assert proofs.findings["i0"]["inverse_error_exact"].status is Status.ERROR
    assert proofs.findings["i0"]["certified_radius_l2"].value is not None
    with pytest.raises(ValueError, match="float64"):
        prove(unit, jacobian, inputs.float(), names, rows)
