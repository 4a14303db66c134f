"""Proofs that come back from a store: to the bit, and never without passing their check again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.planning.plan import UnitPlan, make_plan, prepared
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.steps.kept_proofs import (
    pair_content,
    pair_from,
    proofs_content,
    proofs_from,
)
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.kept_steps import Content, KeptSteps
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.bijectivity import Proofs, prove
from resnet_diffeo_probe.bijectivity.witnesses.pixel_pair import NoPixelPair, PixelPair, pixel_pair
from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.units import Discovery, discover
from tests.analysis.executed import telling
from tests.analysis.networks import Block, Net, images, seeded
from tests.analysis.steps.test_proving import contracting

NAMES = tuple(f"{i}.png" for i in range(8))


class Searched:
    """One unit that folds, everything that can be proven of it, and a pair of images."""

    def __init__(self, net: Net) -> None:
        x = images(8).double()
        self.module = copy.deepcopy(net).double()
        self.discovery: Discovery = discover(net, images(1)).to(dtype=torch.float64)
        self.plan: UnitPlan = prepared(make_plan(self.discovery, Settings(workers=1))).units[0]
        assert self.plan.jacobian is not None
        inputs = self.discovery.run(x)[1][self.plan.unit.name].input
        signs = [self.plan.jacobian.at(inputs[i : i + 1]).factorize().sign for i in range(8)]
        rows = {name: {"sign": Finding(sign)} for name, sign in zip(NAMES, signs, strict=True)}
        self.proofs = prove(
            self.plan.unit,
            self.plan.jacobian,
            inputs,
            NAMES,
            rows,
            activation="relu",
            module=self.module,
            detailed_inputs=2,
        )
        self.x = x[:1]

    def back(self, content: Content) -> Proofs:
        return proofs_from(content, self.plan.unit, NAMES, self.module, jacobian=self.plan.jacobian)


@pytest.fixture(scope="module")
def folded() -> Searched:
    return Searched(seeded(lambda: Net(Block(2, scale=8.0)), seed=4))


@pytest.fixture(scope="module")
def contracted() -> Searched:
    return Searched(contracting())


@pytest.fixture(scope="module")
def pair(folded: Searched) -> PixelPair:
    found = pixel_pair(folded.discovery, folded.x, module=folded.module, name="0.png")
    assert isinstance(found, PixelPair) and found.is_proof
    return found


def through_text(content: Content) -> Content:
    """As it comes out of a store, and free to be changed."""
    return Content(json.loads(json.dumps(content.json)), {n: t.clone() for n, t in content.arrays.items()})


def test_proofs_come_back_to_the_bit(folded: Searched, contracted: Searched) -> None:
    for searched in (folded, contracted):
        proofs = searched.proofs
        back = searched.back(through_text(proofs_content(proofs)))
        assert back.certificate == proofs.certificate
        assert back.findings == proofs.findings
        assert [list(row) for row in back.findings.values()] == [
            list(row) for row in proofs.findings.values()
        ]
        assert back.balls == proofs.balls
        assert len(back.witnesses) == len(proofs.witnesses)
        for mine, other in zip(back.witnesses, proofs.witnesses, strict=True):
            assert torch.equal(mine.x1, other.x1) and torch.equal(mine.x2, other.x2)
            assert json.dumps(mine.to_json()) == json.dumps(other.to_json())
            assert (mine.grown is None) == (other.grown is None)
    assert {witness.map for witness in folded.proofs.witnesses} == {"sum", "unit"}
    assert any(witness.grown is not None for witness in folded.proofs.witnesses)
    assert folded.proofs.findings and folded.proofs.balls
    assert contracted.proofs.certificate is not None and contracted.proofs.certificate.holds


def test_a_pair_of_images_and_none_come_back(folded: Searched, pair: PixelPair) -> None:
    back = pair_from(through_text(pair_content(pair)), folded.discovery, folded.x, folded.module)
    assert isinstance(back, PixelPair)
    assert torch.equal(back.x2, pair.x2)
    assert back.to_json() == pair.to_json()
    none = pair_from(through_text(pair_content(NoPixelPair("why"))), folded.discovery, folded.x, None)
    assert none == NoPixelPair("why")


def moved(_json: Any, arrays: dict[str, Tensor]) -> None:
    for name in arrays:
        if name.endswith("x2"):
            arrays[name] += 1e-3


def infinite(_json: Any, arrays: dict[str, Tensor]) -> None:
    for name, x in arrays.items():
        arrays[name] = torch.full_like(x, float("inf"))


def single(_json: Any, arrays: dict[str, Tensor]) -> None:
    for name, x in arrays.items():
        arrays[name] = x.float()


def flat(_json: Any, arrays: dict[str, Tensor]) -> None:
    for name, x in arrays.items():
        arrays[name] = x.flatten()


def gone(_json: Any, arrays: dict[str, Tensor]) -> None:
    arrays.clear()


def one_point(_json: Any, arrays: dict[str, Tensor]) -> None:
    for name, x in arrays.items():
        if name.endswith("x1"):
            arrays[name[:-1] + "2"] = x.clone()


def other_map(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for witness in kept["witnesses"]:
        witness["map"] = "hearsay"


def swapped_map(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for witness in kept["witnesses"]:
        witness["map"] = "sum"


def other_input(kept: Any, _arrays: dict[str, Tensor]) -> None:
    kept["findings"] = {"../../x": next(iter(kept["findings"].values()))}


def other_ball(kept: Any, _arrays: dict[str, Tensor]) -> None:
    kept["balls"] = {"../../x": next(iter(kept["balls"].values()))}


def other_quantity(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for row in kept["findings"].values():
        row["sign"] = next(iter(row.values()))


def not_finite(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for row in kept["findings"].values():
        row["inverse_error_exact"][0] = float("nan")


def no_number(kept: Any, _arrays: dict[str, Tensor]) -> None:
    kept["certificate"]["upper"] = "<script>"


def contracts(kept: Any, _arrays: dict[str, Tensor]) -> None:
    kept["certificate"]["upper"] = 0.5


def grown_more(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for witness in kept["witnesses"]:
        if "grown" in witness:
            witness["about"]["grown_distance"] *= 10


def no_text(kept: Any, _arrays: dict[str, Tensor]) -> None:
    for witness in kept["witnesses"]:
        witness["kind"] = {"a": 1}


Lie = Callable[[Any, dict[str, Tensor]], None]
POINTS: list[Lie] = [moved, infinite, single, flat, gone]
LIES: list[Lie] = [
    *(one_point, other_map, swapped_map, other_input, other_ball, other_quantity, not_finite),
    *(no_number, contracts, grown_more, no_text),
]


def found(folder: Path, content: Content, read: Callable[[Content], Any]) -> tuple[Any, list[str]]:
    """Return what is found in a store of what somebody wrote into it, and why not."""
    reasons: list[str] = []
    with Store(folder) as store:
        store.begin(Conditions("m", "{}", "v"))
        kept = KeptSteps(store, telling(recomputed=lambda *told: reasons.append(told[2])))
        kept.keep("proofs", "u", "basis", content)
        return kept.find("proofs", "u", "basis", read), reasons


@pytest.mark.parametrize("lie", POINTS + LIES)
def test_a_lie_about_a_unit_is_not_believed(folded: Searched, tmp_path: Path, lie: Lie) -> None:
    content = through_text(proofs_content(folded.proofs))
    lie(content.json, content.arrays)
    proofs, reasons = found(tmp_path, content, folded.back)
    assert proofs is None
    assert len(reasons) == 1


def test_a_smaller_bound_than_the_true_one_is_not_believed(contracted: Searched, tmp_path: Path) -> None:
    content = through_text(proofs_content(contracted.proofs))
    content.json["certificate"]["upper"] *= 0.9
    assert found(tmp_path, content, contracted.back) == (
        None,
        ["its bound is another one when it is computed again"],
    )


@pytest.mark.parametrize("lie", POINTS)
def test_a_lie_about_images_is_not_believed(
    folded: Searched, pair: PixelPair, tmp_path: Path, lie: Lie
) -> None:
    content = through_text(pair_content(pair))
    lie(content.json, content.arrays)
    back, reasons = found(
        tmp_path, content, lambda c: pair_from(c, folded.discovery, folded.x, folded.module)
    )
    assert back is None
    assert len(reasons) == 1


@pytest.mark.parametrize(
    "content", [[], 3, None, "text", {"certificate": {"layers": {"a": [[]]}}, "findings": 3}, {"reason": 3}]
)
def test_what_is_nothing_of_the_kind_is_not_believed(folded: Searched, tmp_path: Path, content: Any) -> None:
    (tmp_path / "other").mkdir()
    assert found(tmp_path, Content(content), folded.back)[0] is None
    read = lambda c: pair_from(c, folded.discovery, folded.x, folded.module)  # noqa: E731
    assert found(tmp_path / "other", Content(content), read)[0] is None
