"""`analyze` on small networks: what comes out, and what stays as it was."""

import copy
import json
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import RECTANGULAR, Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import read_result, validate, write_result
from tests.analysis.executed import executed

from .analyzed import QUICK, labelled, rows, verdict
from .networks import Block, Net, Sorted, Wider, images, seeded


def dense(block, x):
    """det J of x + F(x) the plain way: all columns by automatic differentiation."""
    block = copy.deepcopy(block).double()

    def total(v):
        return v + block.conv2(F.relu(block.conv1(v)))

    n = x.numel()
    jacobian = torch.autograd.functional.jacobian(lambda v: total(v[None])[0], x.double()).reshape(n, n)
    found = torch.linalg.slogdet(jacobian)
    return int(found.sign), float(found.logabsdet), float(torch.linalg.svdvals(jacobian)[-1])


def test_a_module_in_memory_and_a_plain_tensor_against_dense_linear_algebra():
    net, x = seeded(lambda: Net(Block(2), Block(2, scale=4))), images(3)
    analysis = analyze(net, x, Settings(workers=1))
    validate(analysis.result)
    assert analysis.complete
    assert not analysis.interrupted
    hidden = F.relu(net.stem(x)).detach()
    for name in ("0", "1"):
        for index in range(3):
            sign, logabsdet, sigma_min = dense(net.units[name], hidden[index])
            found = {
                row["quantity"]: row for row in rows(analysis, unit=f"units.{name}", input=f"input[{index}]")
            }
            assert {q for q in Settings().quantities if q not in RECTANGULAR} <= set(found)
            assert found["sign"]["value"] == sign
            # the network's own activations are float32 until the copy in float64 recomputes them
            assert found["logabsdet"]["value"] == pytest.approx(logabsdet, rel=1e-4, abs=1e-4)
            assert found["sigma_min"]["value"] == pytest.approx(sigma_min, rel=1e-3)
        hidden = net.units[name](hidden).detach()
    assert analysis.result["inputs"]["kind"] == "tensor"
    assert analysis.result["model"]["file"] == "Net"
    assert analysis.result["model"]["sha256"] is None


def comparable(analysis):
    """The result without times and the number of workers."""
    result = copy.deepcopy(analysis.result)
    result["tool"] = result["tool"]["seed"]
    for entry in result["units"]:
        del entry["seconds"]
    return json.dumps(result)


def test_the_number_of_workers_changes_no_bit():
    net, x = seeded(lambda: Net(Block(2), Wider(2), Sorted(4), Block(4), width=4)), images(5)
    analyses = [analyze(net, x, Settings(workers=workers, seed=3)) for workers in (1, 2, 5)]
    assert comparable(analyses[0]) == comparable(analyses[1]) == comparable(analyses[2])
    assert comparable(analyses[0]) == comparable(analyze(net, x, Settings(workers=2, seed=3)))


def test_inputs_do_not_influence_each_other():
    net, x = seeded(lambda: Net(Block(2))), images(4)
    everywhere = Settings().quantities  # named, so that no input is singled out for the expensive ones
    together = analyze(net, x, Settings(measures=everywhere, workers=2))
    alone = analyze(net, x[2:3], Settings(measures=everywhere, workers=1))
    for a, b in zip(rows(together, input="input[2]"), rows(alone, input="input[0]"), strict=True):
        assert (a["quantity"], a["status"]) == (b["quantity"], b["status"])
        assert a["value"] == b["value"]


def test_progress_counts_every_pair_once():
    seen = []
    net = seeded(lambda: Net(Block(2), Wider(2), width=4))
    analyze(
        net, images(3), Settings(budget=Budget.QUICK, workers=2), execution=executed(measured=seen.append)
    )
    assert [p.done for p in seen] == list(range(1, 7))
    assert {p.total for p in seen} == {6}
    assert {(p.unit, p.input) for p in seen} == {
        (f"units.{u}", f"input[{i}]") for u in (0, 1) for i in range(3)
    }


class WithState(nn.Module):
    """Batch norm, dropout and a buffer: what an analysis could change."""

    def __init__(self):
        super().__init__()
        self.net = Net(Block(2))
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        return self.net(self.dropout(self.norm(x)))


def test_nothing_of_the_users_is_changed():
    net = seeded(WithState)
    net.train()
    net.net.units["0"].conv1.eval()  # modes that differ by part stay as they are
    net.net.head.weight.requires_grad_(False)
    net.norm.weight.grad = torch.full((3,), 0.25)
    calls = []
    handle = net.norm.register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pointers = {name: value.data_ptr() for name, value in net.state_dict().items()}
    modes = {name: part.training for name, part in net.named_modules()}
    hooks = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in net.named_modules()}
    requires = {name: p.requires_grad for name, p in net.named_parameters()}
    x = images(2).requires_grad_()
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    states = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    threads, threaded = torch.get_num_threads(), torch.is_grad_enabled()

    analyze(net, x, Settings(workers=2))

    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert {name: value.data_ptr() for name, value in net.state_dict().items()} == pointers
    assert {name: part.training for name, part in net.named_modules()} == modes
    assert {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in net.named_modules()} == hooks
    assert {name: p.requires_grad for name, p in net.named_parameters()} == requires
    assert torch.equal(net.norm.weight.grad, torch.full((3,), 0.25))
    assert x.grad is None
    assert torch.equal(torch.get_rng_state(), states[0])
    assert str(np.random.get_state()) == states[1]
    assert random.getstate() == states[2]
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, threaded)
    assert torch.get_default_dtype() == torch.float32
    handle.remove()


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(2, 3, 3, padding=1)
        self.conv2 = nn.Conv1d(3, 2, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(torch.tanh(self.conv1(x)))


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(5, 7)
        self.two = nn.Linear(7, 5)

    def forward(self, x):
        return x + self.two(F.relu(self.one(x)))


@pytest.mark.parametrize(
    ("build", "shape"), [(Sequence, (2, 9)), (Perceptron, (5,)), (lambda: Net(Block(2)), (3, 3, 8))]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_sequences_vectors_and_images_that_are_not_square(build, shape, batch):
    net = seeded(build)
    x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(5))
    analysis = analyze(net, x, Settings(workers=1))
    assert analysis.complete
    entry = analysis.result["units"][0]
    if len(shape) < 3:  # the network is the unit
        assert entry["input_shape"] == list(shape)
        for index in range(batch):
            n = x[index].numel()
            double = copy.deepcopy(net).double()
            jacobian = torch.autograd.functional.jacobian(double, x[index : index + 1].double()).reshape(n, n)
            found = torch.linalg.slogdet(jacobian)
            row = rows(analysis, input=f"input[{index}]", quantity="logabsdet")[0]
            assert row["value"] == pytest.approx(float(found.logabsdet), rel=1e-9, abs=1e-11)
            assert rows(analysis, input=f"input[{index}]", quantity="sign")[0]["value"] == int(found.sign)
    assert [row["status"] for row in rows(analysis, quantity="sign")] == ["ok"] * batch


def test_opposite_signs_prove_and_are_found_again_in_the_rows():
    class Fold(nn.Module):
        """x − 2 ReLU(x) in the first of two coordinates: |x| up to sign, folded at 0."""

        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False)
            with torch.no_grad():
                self.one.weight.copy_(torch.tensor([[1.0, 0.0]]))
                self.two.weight.copy_(torch.tensor([[-2.0], [0.0]]))

        def forward(self, x):
            return x + self.two(F.relu(self.one(x)))

    analysis = analyze(
        Fold().eval(), torch.tensor([[1.0, 0.5], [-1.0, 0.5], [2.0, 0.0]]), Settings(workers=1)
    )
    name = analysis.result["units"][0]["name"]
    assert [row["value"] for row in rows(analysis, quantity="sign")] == [-1, 1, -1]
    for which in ("sum", "unit"):
        found = verdict(analysis, name, which)
        assert found["state"] == "not_injective_proven"
        assert set(found["evidence"]["inputs"]) == {"input[1]", "input[0]"}
    assert verdict(analysis, None)["state"] == "not_injective_proven"


EVIL = ["<script>alert(1)</script>", "x\u202etxt\x1b[31m", "*", "a b", "ünï", "[0]", "-rf", "'; DROP TABLE"]


def test_hostile_names_pass_through_as_they_are(tmp_path):
    net = seeded(lambda: Net(*(Block(2) for _ in EVIL), names=EVIL))
    x = images(2, height=3, width=3)
    batch = labelled(x, EVIL[:2], sorted(EVIL[:2]))
    analysis = analyze(net, batch, Settings(measures=("sign",), workers=1))
    assert [u["name"] for u in analysis.result["units"]] == [f"units.{name}" for name in EVIL]
    write_result(analysis.result, tmp_path / "result.json")
    again = read_result(tmp_path / "result.json")
    assert again == analysis.result
    assert again["inputs"]["names"] == [f"{EVIL[0]}/0.png", f"{EVIL[1]}/1.png"]


def test_leaky_relu_counts_as_injective_only_with_a_positive_slope():
    class Leaky(Block):
        def __init__(self, slope):
            super().__init__(2, scale=0.01)
            self.slope = slope

        def forward(self, x):
            return F.leaky_relu(x + self.conv2(F.relu(self.conv1(x))), self.slope)

    states = {}
    for slope in (0.1, 0.0, -0.5):
        net = seeded(lambda slope=slope: Net(Leaky(slope)))
        states[slope] = verdict(analyze(net, images(2), QUICK), "units.0", "unit")["state"]
    assert states == {0.1: "no_violation_found", 0.0: "undetermined", -0.5: "undetermined"}
