"""The rebuilt graph computes what the module computes, whatever the module does on the way."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from torch import nn
from torch.utils.checkpoint import checkpoint

from resnet_diffeo_probe.errors import DiffeoProbeError, InputsError
from resnet_diffeo_probe.units import RecordingError, discover
from tests.units.rebuilt import assert_rebuilt

# ---- in place -------------------------------------------------------------------------------------------------------


def _relu_and_sum(m, x):
    y = m.f(x.relu_())
    y += x
    return F.relu(y, inplace=True).mul_(2)


def _pieces(m, x):
    y = m.f(x)
    a, b = y.chunk(2, 1)
    a += b
    b.relu_()
    return x + y


def _views(m, x):
    y = m.f(x)
    flat = y.view(len(y), -1)
    flat.mul_(3)
    last = y.permute(0, 2, 3, 1)
    last += 1
    flat[:, 3:7] = 0
    return x + y * flat.view_as(y)


def _items(m, x):
    y = m.f(x)
    y[:, 0] = 0
    y[:, 1:2] += x[:, 1:2]
    y[y < 0] = 0.5
    return x + y


def _out(m, x):
    y = torch.empty_like(x)
    torch.add(x, m.f(x), out=y)
    return y


def _copied(m, x):
    y = torch.zeros_like(x)
    y.copy_(m.f(x))
    z = torch.empty_like(x[:, :1]).fill_(2.0)
    return x + y.clamp_(min=-1).add_(z)


@pytest.mark.parametrize("forward", [_relu_and_sum, _pieces, _views, _items, _out, _copied])
def test_in_place_operations_become_functional(written, branch, x, forward) -> None:
    model = written(forward, f=branch())
    found = assert_rebuilt(model, x, torch.randn(5, 4, 6, 8))
    assert len(found.units) == 1


# Programs over three aliasing tensors: t0 and t1 are values, t2 is a view of t0.
_STEPS = {
    "relu_": lambda t, i, j: t[i].relu_(),
    "add_": lambda t, i, j: t[i].add_(t[j]),
    "iadd": lambda t, i, j: t[i].__iadd__(t[j].clone()),
    "mul_": lambda t, i, j: t[i].mul_(0.5),
    "row": lambda t, i, j: t[i][:, 0].add_(1.0),
    "set": lambda t, i, j: t[i].__setitem__((slice(None), 1), t[j][:, 0].clone()),
    "half": lambda t, i, j: t[i].chunk(2, 1)[1].mul_(2.0),
    "transposed": lambda t, i, j: t[i].transpose(0, 1)[1].sub_(1.0),
    "swap": lambda t, i, j: t.__setitem__(slice(None), [t[1], t[0], t[2]]),
    "fresh": lambda t, i, j: t.__setitem__(1, t[i] - t[j]),
    "view": lambda t, i, j: t.__setitem__(2, t[i].view(len(t[i]), 2, 2).view(len(t[i]), 4)),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(_STEPS)), st.integers(0, 2), st.integers(0, 2)),
        min_size=1,
        max_size=8,
    )
)
def test_any_program_of_writes_through_aliases(program) -> None:
    class Program(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            t = [x * 1.5, x + 1.0, x]
            t[2] = t[0].view(len(x), 4)
            for name, i, j in program:
                _STEPS[name](t, i, j)
            return torch.stack([t[0], t[1], t[2]])

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, generator=generator)
    assert_rebuilt(Program(), x, torch.randn(3, 4, generator=generator))


# ---- Python, wrappers, compilers ------------------------------------------------------------------------------------


def test_python_control_flow_follows_the_example(written, branch, x) -> None:
    def forward(m, x):
        depth = 3 if x.mean() > 0 else 1
        for _ in range(depth):
            x = x + m.f(x)
        return x

    model = written(forward, f=branch())
    positive, negative = x.abs(), -x.abs()
    deep, shallow = assert_rebuilt(model, positive), assert_rebuilt(model, negative)
    assert (len(deep.units), len(shallow.units)) == (3, 1)
    assert "path that the example took" in deep.notes[0]


def test_reentrant_checkpoint_and_custom_functions(written, branch, x) -> None:
    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx, grad):
            return grad

    def forward(m, x):
        return x + m.c(Swish.apply(checkpoint(m.f, x, use_reentrant=True)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = assert_rebuilt(written(forward, f=branch(), c=nn.Conv2d(4, 4, 1)), x)
    assert len(found.units) == 1


def test_parametrized_weights_are_folded_into_the_branch(written, x) -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    unit = assert_rebuilt(written(lambda m, x: x + m.c(x).tanh(), c=conv), x).units[0]
    functions = [node.target for node in unit.branch.graph.nodes if node.op == "call_function"]
    assert functions == [torch.conv2d, torch.tanh]


def test_encoder_layer_in_spite_of_its_fused_path() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    found = discover(layer, torch.randn(2, 5, 16))
    assert [unit.shortcut for unit in found.units] == ["identity", "identity"]
    assert found.exact, "torch picks other kernels for parameters that need no gradient"


@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_is_taped_at_the_dispatcher(randomized, how: str) -> None:
    model = randomized(torchvision.models.resnet18()).eval()
    x = torch.randn(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        compiled = torch.jit.script(model) if how == "script" else torch.jit.trace(model, x)
        found = discover(compiled, x)
    plain = discover(model, x)
    assert [(u.name, u.shortcut, u.activation) for u in found.units] == [
        (u.name, u.shortcut, u.activation) for u in plain.units
    ]
    y = torch.randn(3, *plain.units[1].input_shape)
    torch.testing.assert_close(found.units[1].branch(y), plain.units[1].branch(y))
    kinds = [
        [n.target for n in u.branch.graph.nodes if n.op == "call_function"]
        for u in (found.units[1], plain.units[1])
    ]
    assert kinds[0] == kinds[1]


def test_scripted_part_of_a_python_module(x) -> None:
    block = torchvision.models.resnet.BasicBlock(4, 4).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Conv2d(4, 4, 1), torch.jit.script(nn.Sequential(block, block)))
        found = discover(model, x)
    assert [unit.name for unit in found.units] == ["1.0", "1.0#2"]
    assert torch.equal(found.graph(x), model(x))


@pytest.mark.parametrize("dynamic", [True, False])
def test_exported_programs(randomized, dynamic: bool) -> None:
    model = randomized(torchvision.models.resnet18()).eval()
    x = torch.randn(2, 3, 32, 32)
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(model, (x,), dynamic_shapes=shapes).module()
    found = discover(program, x)
    plain = discover(model, x)
    assert [(u.name, u.shortcut, u.activation) for u in found.units] == [
        (u.name, u.shortcut, u.activation) for u in plain.units
    ]
    assert found.batch_is_free == dynamic
    assert torch.equal(found.graph(x), plain.graph(x))
    for mine, theirs in zip(found.units, plain.units, strict=True):
        assert [n.target for n in mine.branch.graph.nodes if n.op == "call_function"] == [
            n.target for n in theirs.branch.graph.nodes if n.op == "call_function"
        ]


def test_meta_tensors() -> None:
    model = torchvision.models.resnet18().to("meta")
    found = discover(model, torch.randn(1, 3, 224, 224, device="meta"))
    assert len(found.units) == 8
    assert found.units[1].input_shape == (64, 56, 56)
    assert found.units[1].dimension == 200_704


def test_outputs_in_containers_become_plain(written, branch, x) -> None:
    class Output(dict):
        pass

    model = written(lambda m, x: Output(out=x + m.f(x), none=None, parts=(x * 2, [x * 3])), f=branch())
    output = discover(model, x).graph(x)
    assert type(output) is dict
    assert list(output) == ["out", "parts"]
    assert torch.equal(output["parts"][1][0], x * 3)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_arithmetic_that_leaves_torch_is_refused(written, branch, x) -> None:
    model = written(lambda m, x: x + m.f(torch.from_numpy(x.numpy() * 2)), f=branch())
    with pytest.raises(RecordingError) as error:
        discover(model, x)
    assert "no recorded operation made" in str(error.value)
    assert isinstance(error.value, DiffeoProbeError)
    assert error.value.fix


def test_a_model_that_does_not_take_the_example(capfd) -> None:
    with pytest.raises(RecordingError, match="does not run on a batch of shape"):
        discover(torchvision.models.resnet18(), torch.randn(1, 5, 32, 32))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("example", [torch.zeros(()), torch.zeros(0, 3, 8, 8), [1, 2]])
def test_an_example_that_is_no_batch(example) -> None:
    with pytest.raises(InputsError):
        discover(nn.Identity(), example)
