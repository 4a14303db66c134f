"""Kind 8: a path that this input never takes. Which inputs take which path is known by construction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import resnet_diffeo_probe as rdp
from resnet_diffeo_probe.units import discover
from resnet_diffeo_probe.units.faithful import Faithfulness

WIDTH = 3


class Plain(nn.Module):
    """x + F(x), whatever the input is."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + self.f(x)

    def path(self, x):
        return 0


class MeanGate(Plain):
    """Another sign of the branch behind `if x.mean() > 0`."""

    def forward(self, x):
        return x + self.f(x) if x.mean() > 0 else x - 3 * self.f(x)

    def path(self, x):
        return bool(x.mean() > 0)


class ItemScale(Plain):
    """A number read from the input multiplies the branch: every input has a map of its own."""

    def forward(self, x):
        return x + self.f(x) * round(x.abs().max().item(), 1)

    def path(self, x):
        return round(x.abs().max().item(), 1)


class ListMask(Plain):
    """A mask from a Python list."""

    def forward(self, x):
        mask = torch.tensor([1.0 if v > 0 else -2.0 for v in x.mean(0).tolist()])
        return x + self.f(x) * mask

    def path(self, x):
        return tuple(v > 0 for v in x.mean(0).tolist())


class AdaptiveSteps(Plain):
    """As many Euler steps as the size of the input asks for."""

    def forward(self, x):
        steps = self.path(x)
        for _ in range(steps):
            x = x + self.f(x) / steps
        return x

    def path(self, x):
        return 1 + int(x.abs().max() > 1) + int(x.abs().max() > 2)


class EarlyExit(nn.Module):
    """A second unit that confident inputs do not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Plain(), Plain()

    def forward(self, x):
        x = self.first(x)
        return x if x[:, 0].mean() > 0 else self.second(x)

    def path(self, x):
        return bool(self.first(x)[:, 0].mean() > 0)


class NestedNumber(nn.Module):
    """A stem that divides by a number read from the input: the unit is the same, its input is not."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = Plain()

    def forward(self, x):
        return self.unit(x / self.path(x))

    def path(self, x):
        return math.ceil(x.abs().max().item())


KINDS = [Plain, MeanGate, ItemScale, ListMask, AdaptiveSteps, EarlyExit, NestedNumber]


def network(kind, seed):
    torch.manual_seed(seed)
    return kind().eval(), 2 * torch.randn(3, WIDTH)


@settings(max_examples=140)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000))
def test_units_are_doubted_exactly_where_the_path_is_another_one(kind, seed):
    module, X = network(kind, seed)
    found = discover(module, X[:1])
    faithful = Faithfulness(module, found, found.to(dtype=torch.float64), X[:1])
    first = module.path(X[:1])
    for x in X.split(1):
        doubts = faithful.doubts(x)
        if module.path(x) == first:
            assert doubts == {}
        elif kind is EarlyExit:
            # the first unit is the same on both paths; the second is missing, or was not met by the first input
            assert ("second" in doubts) == (not first)
            assert "first" not in doubts
            assert any("second" in note for note in faithful.notes())
        else:
            assert doubts
            assert all("another path" in reason for reason in doubts.values())


@settings(max_examples=25)
@given(kind=st.sampled_from(KINDS[1:6]), seed=st.integers(0, 10_000))
def test_nothing_is_proven_of_a_unit_whose_code_reads_its_input(kind, seed):
    module, X = network(kind, seed)
    result = rdp.analyze(module, X, budget="standard").result
    names = {unit["name"] for unit in result["units"]}
    assert names
    reading = {unit.name for unit in discover(module, X[:1]).units if unit.chooses_path}
    if kind is not EarlyExit:
        assert reading
    for verdict in result["verdicts"]:
        if verdict["unit"] in reading:
            assert verdict["state"] in ("no_violation_found", "undetermined", "not_run")


def test_opposite_signs_of_a_gate_are_no_proof_and_the_row_says_why():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(3, 3, bias=False)
            self.f.weight.data = -3 * torch.eye(3)

        def forward(self, x):
            # -2x on one side, and 4x on the other: a bijection of each half
            return x + self.f(x) if x.mean() > 0 else x - self.f(x)

    X = torch.tensor([[1.0, 2, 3], [-1.0, -2, -3], [2.0, 1, 1]])
    result = rdp.analyze(Gate().eval(), X, budget="standard").result
    signs = {row["input"]: row for row in result["measurements"] if row["quantity"] == "sign"}
    assert [row["value"] for row in signs.values()] == [-1, None, -1]
    assert signs["input[1]"]["status"] == "other_function"
    assert "another path" in signs["input[1]"]["reason"]
    assert result["verdicts"][0]["state"] == "no_violation_found"
    assert "another path" in result["verdicts"][0]["sentence"]


def test_a_contracting_path_certifies_nothing():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(1, 1, bias=False)
            self.f.weight.data = torch.tensor([[0.5]])

        def forward(self, x):
            # 1.5 x above, 1 + 2.5 x below: -0.2 and 0.3333 have one image
            return x + self.f(x) if x.mean() > 0 else x + 3 * self.f(x) + 1

    verdict = rdp.analyze(Gate().eval(), torch.tensor([[2.0], [3.0]]), budget="standard").result["verdicts"][
        0
    ]
    assert verdict["state"] == "no_violation_found"


def test_a_unit_behind_an_exit_that_the_first_input_takes_is_named():
    torch.manual_seed(0)
    module = EarlyExit().eval()
    X = torch.randn(40, WIDTH)
    exits = [module.path(x) for x in X.split(1)]
    X = torch.stack([X[exits.index(True)], X[exits.index(False)]])
    result = rdp.analyze(module, X, budget="quick").result
    assert [unit["name"] for unit in result["units"]] == ["first"]
    assert any("also runs second at 1" in note for note in result["model"]["notes"])


def test_scripted_control_flow_is_seen():
    module = torch.jit.script(ScriptedGate().eval())
    X = torch.tensor([[1.0, 2, 3], [-1.0, -2, -3]])
    result = rdp.analyze(module, X, budget="quick").result
    status = [row["status"] for row in result["measurements"] if row["quantity"] == "sign"]
    assert status == ["ok", "other_function"]


class ScriptedGate(nn.Module):
    """A gate that Python does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(3, 3)
        self.g = nn.Linear(3, 3)

    def forward(self, x):
        if bool(x.mean() > 0):
            return x + torch.tanh(self.f(x))
        return x + torch.tanh(self.g(self.f(x)))


def test_a_module_that_fails_at_an_input_takes_no_other_row():
    class Strict(Plain):
        def forward(self, x):
            if x.max() > 10:
                raise ValueError("too bright")
            return super().forward(x)

    X = torch.tensor([[1.0, 2, 3], [1.0, 2, 30]])
    result = rdp.analyze(Strict().eval(), X, budget="quick").result
    rows = {row["input"]: row for row in result["measurements"] if row["quantity"] == "sign"}
    assert rows["input[0]"]["status"] == "ok"
    assert rows["input[1]"]["status"] == "other_function"
    assert "too bright" in rows["input[1]"]["reason"]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_module_is_left_as_it_was(kind):
    module, X = network(kind, 0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    found = discover(module, X[:1])
    faithful = Faithfulness(module, found, found.to(dtype=torch.float64), X[:1])
    for x in X.split(1):
        faithful.doubts(x)
    assert module.training
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
