"""`analyze` on small networks: what comes out, what goes wrong alone, and what stays as it was."""

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.plan import Settings
from resnet_diffeo_probe.analysis.quantities import QUANTITIES, RECTANGULAR, Budget
from resnet_diffeo_probe.analysis.schema import read_result, validate
from resnet_diffeo_probe.errors import ConfigurationError, DiffeoProbeError, InputsError, NoUnitError
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from resnet_diffeo_probe.models import LoadedModel

from .networks import Block, Net, Sorted, Wider, images, seeded

QUICK = Settings(budget=Budget.QUICK, workers=1)


def rows(analysis, **where):
    return [row for row in analysis.result["measurements"] if all(row[k] == v for k, v in where.items())]


def unit(analysis, name):
    return next(u for u in analysis.result["units"] if u["name"] == name)


def verdict(analysis, name, which="sum"):
    return next(v for v in analysis.result["verdicts"] if v["unit"] == name and v["map"] == which)


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


def test_a_branch_out_of_reach_has_estimates_no_sign_and_names_the_operation():
    analysis = analyze(
        seeded(lambda: Net(Block(2), Sorted(2), Block(2))), images(2, height=40, width=40), QUICK
    )
    sorting = unit(analysis, "units.1")
    assert sorting["status"] == "not_run"
    assert "sort" in sorting["reason"]
    assert (sorting["planned"], sorting["done"]) == (2, 0)
    assert sorting["plan"]["method"] == "estimate by Lanczos quadrature"
    for row in rows(analysis, unit="units.1", quantity="logabsdet"):
        assert row["evidence"] == "estimated"
        assert row["interval"][0] <= row["value"] <= row["interval"][1]
        assert "sort" in row["reason"]
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="sign")} == {"not_run"}
    # the magnitude of a determinant, however well known, is never taken for a sign
    assert verdict(analysis, "units.1")["state"] == "not_run"
    assert "sort" in verdict(analysis, "units.1")["sentence"]
    assert [unit(analysis, f"units.{i}")["status"] for i in (0, 2)] == ["complete", "complete"]
    assert not analysis.complete


def test_a_unit_that_changes_the_dimension_is_not_applicable_and_no_failure():
    analysis = analyze(seeded(lambda: Net(Block(2), Wider(2), width=4)), images(2), QUICK)
    wider = unit(analysis, "units.1")
    assert wider["status"] == "not_applicable"
    assert "2 × 6 × 5 to 4 × 6 × 5" in wider["reason"]
    assert {v["state"] for v in analysis.result["verdicts"] if v["unit"] == "units.1"} == {"not_applicable"}
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="sign")} == {"not_applicable"}
    assert {row["status"] for row in rows(analysis, unit="units.1", quantity="clipped_fraction")} == {"ok"}
    assert analysis.complete


def test_a_unit_whose_preparation_fails_leaves_the_others_alone(monkeypatch):
    from resnet_diffeo_probe.jacobian import UnitJacobian

    prepare = UnitJacobian.prepare

    def fail_at_one(self):
        if self.name == "units.1":
            raise MemoryError("no room for the row blocks")
        prepare(self)

    monkeypatch.setattr(UnitJacobian, "prepare", fail_at_one)
    analysis = analyze(seeded(lambda: Net(Block(2), Block(2))), images(2), QUICK)
    assert [u["status"] for u in analysis.result["units"]] == ["complete", "not_run"]
    assert "no room for the row blocks" in unit(analysis, "units.1")["reason"]


def test_one_measurement_that_fails_is_a_row_and_the_run_goes_on(monkeypatch):
    from resnet_diffeo_probe.analysis import pair

    measure, calls = pair.measure, []

    def fail_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("a surprise in <b>one</b> measurement")
        return measure(*args, **kwargs)

    monkeypatch.setattr(pair, "measure", fail_once)
    analysis = analyze(seeded(lambda: Net(Block(2))), images(3), QUICK)
    found = rows(analysis, quantity="sign")
    assert [row["status"] for row in found].count("error") == 1
    lost = next(row for row in found if row["status"] == "error")
    assert lost["value"] is None
    assert "a surprise in <b>one</b> measurement" in lost["reason"]
    assert lost["evidence"] == "failed"
    entry = unit(analysis, "units.0")
    assert (entry["status"], entry["planned"], entry["done"]) == ("partial", 3, 2)
    assert "a surprise" in entry["reason"]
    # what one forward pass tells was known before the failure
    assert {row["status"] for row in rows(analysis, quantity="residual_ratio")} == {"ok"}
    assert "not computed" in verdict(analysis, "units.0")["sentence"]
    assert not analysis.complete


class Exploding(nn.Module):
    """Overflows where the first pixel of an input is large."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, padding=1)
        self.unit = Block(2)

    def forward(self, x):
        x = F.relu(self.stem(x)) + torch.exp(x[:, :1, :1, :1] * 500)
        return self.unit(x).mean((2, 3))


def test_an_input_at_which_the_network_overflows_is_an_error_row():
    x = images(3)
    x[:, :, 0, 0] = -1
    x[1, :, 0, 0] = 2  # exp(1000) is infinite in float64 too
    analysis = analyze(seeded(Exploding), x, Settings(workers=1))
    states = {row["input"]: row["status"] for row in rows(analysis, quantity="sign")}
    assert states == {"input[0]": "ok", "input[1]": "error", "input[2]": "ok"}
    assert "NaN or infinity" in rows(analysis, input="input[1]", quantity="sign")[0]["reason"]
    json.dumps(analysis.result, allow_nan=False)


def test_too_little_memory_is_said_with_what_would_be_needed():
    settings = Settings(budget=Budget.STANDARD, workers=2, max_bytes=2000)
    analysis = analyze(seeded(lambda: Net(Block(2))), images(2), settings)
    for quantity in ("sign", "logabsdet", "sigma_min"):
        for row in rows(analysis, quantity=quantity):
            assert row["status"] == "not_run"
            assert "GiB" in row["reason"]
    # what needs no factors is there
    assert {row["status"] for row in rows(analysis, quantity="sigma_max")} == {"ok"}
    assert unit(analysis, "units.0")["status"] == "not_run"
    assert verdict(analysis, "units.0")["state"] == "not_run"
    assert not analysis.complete


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("after", [1, 3, 7])
def test_an_interrupt_keeps_what_was_measured(after, workers):
    reported = []

    def interrupt(progress):
        reported.append((progress.unit, progress.input))
        if len(reported) >= after:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    net = seeded(lambda: Net(Block(2), Block(2)))
    analysis = analyze(net, images(6), Settings(budget=Budget.QUICK, workers=workers), progress=interrupt)
    validate(analysis.result)
    assert analysis.interrupted
    assert not analysis.complete
    kept = {(row["unit"], row["input"]) for row in rows(analysis, quantity="sign")}
    assert set(reported) <= kept
    assert len(reported) == after  # nothing is reported after the interrupt
    assert len(kept) < 12
    assert {u["status"] for u in analysis.result["units"]} <= {"partial", "not_run", "complete"}
    assert sum(u["done"] for u in analysis.result["units"]) == len(kept)
    assert any(u["reason"] == "the run was interrupted" for u in analysis.result["units"])
    assert torch.get_num_threads() == threads


def test_progress_counts_every_pair_once():
    seen = []
    net = seeded(lambda: Net(Block(2), Wider(2), width=4))
    analyze(net, images(3), Settings(budget=Budget.QUICK, workers=2), progress=seen.append)
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


def loaded(module, *, num_classes):
    return LoadedModel(
        module=module, path=Path("folder/model.pt"), sha256="0" * 64, format="state dict", architecture="Net",
        architecture_assumed=True, notes=("a note",), num_classes=num_classes, input_shape=(3, 6, 5), parameters=1,
    )  # fmt: skip


def labelled(x, labels, classes):
    return Inputs(
        rows=TensorRows(x), names=tuple(f"{label}/{i}.png" for i, label in enumerate(labels)), labels=tuple(labels),
        classes=tuple(classes), skipped=(("readme.txt", "no image"),), kind="images", source="images",
        preprocessing=Preprocessing.from_preset("none"), seed=0,
    )  # fmt: skip


def test_accuracy_is_that_of_the_users_own_module_and_its_modes_are_kept():
    net, x = seeded(lambda: Net(Block(2))), images(40)
    with torch.no_grad():
        guess = net(x).argmax(1).tolist()
    wrong = {0, 3, 33}
    labels = ["ab"[g if i not in wrong else 1 - g] for i, g in enumerate(guess)]
    net.train()
    net.units["0"].eval()
    settings = Settings(measures=("residual_ratio",), workers=1)
    analysis = analyze(loaded(net, num_classes=2), labelled(x, labels, "ab"), settings)
    assert analysis.result["inputs"]["accuracy"] == {"correct": 37, "total": 40}
    assert analysis.result["inputs"]["skipped"] == [{"name": "readme.txt", "reason": "no image"}]
    assert analysis.result["model"]["architecture_assumed"] is True
    assert "a note" in analysis.result["model"]["notes"]
    assert net.training
    assert not net.units["0"].training
    assert not net.units["0"].conv1.training


@pytest.mark.parametrize(("classes", "num_classes"), [("abc", 2), ("abc", 3), ("ab", None)])
def test_no_accuracy_where_labels_and_outputs_cannot_be_compared(classes, num_classes):
    settings = Settings(measures=("residual_ratio",), workers=1)
    net = seeded(lambda: Net(Block(2)))  # two outputs, whatever the file was thought to have
    analysis = analyze(loaded(net, num_classes=num_classes), labelled(images(2), "ab", classes), settings)
    assert analysis.result["inputs"]["accuracy"] is None


def test_accuracy_of_an_exported_program_which_refuses_eval():
    net, x = seeded(lambda: Net(Block(2))), images(3)
    exported = torch.export.export(net, (x[:1],)).module()
    with pytest.raises(NotImplementedError):
        exported.eval()
    with torch.no_grad():
        labels = ["ab"[g] for g in net(x).argmax(1).tolist()]
    settings = Settings(measures=("residual_ratio",), workers=1)
    analysis = analyze(loaded(exported, num_classes=2), labelled(x, labels, "ab"), settings)
    assert analysis.result["inputs"]["accuracy"] == {"correct": 3, "total": 3}


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
    analysis.save(tmp_path / "result.json")
    again = read_result(tmp_path / "result.json")
    assert again == analysis.result
    assert again["inputs"]["names"] == [f"{EVIL[0]}/0.png", f"{EVIL[1]}/1.png"]


def test_left_out_units_are_listed_and_no_failure():
    net = seeded(lambda: Net(Block(2), Block(2), Block(2), names=["first", "second", "third"]))
    analysis = analyze(
        net, images(2), Settings(units=("*.first", "units.th?rd"), budget=Budget.QUICK, workers=1)
    )
    assert {u["name"]: u["status"] for u in analysis.result["units"]} == {
        "units.first": "complete", "units.second": "not_run", "units.third": "complete",
    }  # fmt: skip
    assert unit(analysis, "units.second")["reason"] == "left out by --units"
    assert analysis.complete


def test_only_what_was_asked_for_is_measured():
    net = seeded(lambda: Net(Block(2)))
    analysis = analyze(net, images(1), Settings(measures=("clipped_depth", "sign"), workers=1))
    assert [row["quantity"] for row in analysis.result["measurements"]] == ["sign", "clipped_depth"]
    assert verdict(analysis, "units.0", "unit")["state"] in ("not_injective_proven", "undetermined")
    without = analyze(net, images(1), Settings(measures=("residual_ratio",), workers=1))
    assert verdict(without, "units.0")["state"] == "not_run"
    assert "not measured" in verdict(without, "units.0")["sentence"]


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


def test_float32_is_used_and_said():
    analysis = analyze(seeded(lambda: Net(Block(2))), images(1), Settings(dtype="float32", workers=1))
    assert {row["dtype"] for row in analysis.result["measurements"] if row["quantity"] == "sign"} == {
        "float32"
    }
    assert analysis.result["tool"]["dtype"] == "float32"
    assert "float32" in verdict(analysis, "units.0")["arithmetic"]


def test_a_network_without_units_names_the_nearest_misses():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return torch.cat([x, F.relu(self.conv(x))], 1)

    with pytest.raises(NoUnitError) as caught:
        analyze(seeded(Joined), images(1), QUICK)
    assert "torch.cat" in caught.value.why
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 4, 6, 5), torch.zeros(2, 7), torch.zeros(0, 3, 6, 5), torch.tensor(1.0)]
)
def test_inputs_that_do_not_fit_the_model_are_an_error_of_the_users(x):
    with pytest.raises(DiffeoProbeError) as caught:
        analyze(seeded(lambda: Net(Block(2))), x, QUICK)
    assert caught.value.exit_code == 3


def test_the_plan_is_announced_before_anything_is_measured():
    order = []
    analyze(
        seeded(lambda: Net(Block(2), Sorted(2))),
        images(1, height=40, width=40),
        QUICK,
        planned=lambda plan: order.append([p.unit.name for p in plan.units]),
        progress=lambda progress: order.append(progress.unit),
    )
    assert order[0] == ["units.0", "units.1"]
    assert sorted(order[1:]) == ["units.0", "units.1"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"measures": ("sgin",)}, "did you mean sign"),
        ({"measures": ("sign", "")}, "--measures"),
        ({"dtype": "float16"}, "float64"),
        ({"workers": 0}, "--workers"),
        ({"max_bytes": 0.0}, "--max-memory"),
        ({"max_bytes": -1.0}, "--max-memory"),
        ({"max_bytes": float("nan")}, "--max-memory"),
        ({"max_bytes": float("inf")}, "--max-memory"),
        ({"seed": -1}, "--seed"),
        ({"seed": 2**63}, "--seed"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_way_out(wrong, said):
    with pytest.raises(ConfigurationError) as caught:
        Settings(**wrong)
    assert said in caught.value.fix
    assert caught.value.exit_code == 2


def test_every_pattern_has_to_match_a_unit():
    net = seeded(lambda: Net(Block(2), Block(2), names=["first", "second"]))
    for patterns in (("units.frist",), ("units.second", "units.frist")):
        with pytest.raises(ConfigurationError) as caught:
            analyze(net, images(1), Settings(units=patterns))
        assert "'units.frist' matches none of the 2 units" in caught.value.what
        assert caught.value.fix == "--units 'units.first'"


def test_settings_fill_themselves_in():
    settings = Settings()
    assert settings.threads >= 1
    assert settings.memory > 1e8
    assert set(QUICK.quantities) < set(settings.quantities) < set(QUANTITIES)
    assert Settings(budget=Budget.FULL).quantities == QUANTITIES
    assert Settings(measures=("logabsdet", "sign")).quantities == ("sign", "logabsdet")


def test_result_errors_are_of_this_package():
    assert issubclass(InputsError, DiffeoProbeError)
