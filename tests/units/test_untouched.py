"""A model is handed back exactly as it was, and nothing that is produced can change it later."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from resnet_diffeo_probe.units import discover


class _Wayward(nn.Module):
    """Counts its calls, caches what it saw, keeps lists, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.cache: dict[str, torch.Tensor] = {}
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last_input = x
        self.cache["mean"] = x.mean()
        self.seen.append(len(x))
        random.random()  # noqa: S311
        np.random.rand()
        torch.rand(())
        return x + self.norm(self.conv(x))


def _snapshot(model: nn.Module) -> dict[str, object]:
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "identities": [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        "versions": [tensor._version for tensor in model.parameters()],
        "training": [module.training for module in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grads": [p.grad for p in model.parameters()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "hooks": [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()],
        "random": (random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "fast_path": torch.backends.mha.get_fastpath_enabled(),
        "grad_mode": torch.is_grad_enabled(),
        "global_hooks": len(nn.modules.module._global_forward_hooks),
    }


def _assert_same(before: dict[str, object], after: dict[str, object]) -> None:
    tensors_before, tensors_after = before.pop("tensors"), after.pop("tensors")
    assert before == after
    assert tensors_before.keys() == tensors_after.keys()
    assert all(torch.equal(tensor, tensors_after[name]) for name, tensor in tensors_before.items())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", [torchvision.models.resnet18, _Wayward])
def test_the_model_is_as_it_was(build, training: bool) -> None:
    model = build().train(training)
    next(model.modules()).custom_flag = "kept"
    list(model.modules())[1].train(not training)  # a mixed state must survive too
    next(model.parameters()).requires_grad_(False)
    handle = list(model.modules())[1].register_forward_hook(lambda *_: None)
    x = torch.randn(2, 3, 32, 32)
    before = _snapshot(model)

    found = discover(model, x)
    found.run(x)
    found.record(x)
    found.to(dtype=torch.float64).run(x.double())

    _assert_same(before, _snapshot(model))
    handle.remove()
    if isinstance(model, _Wayward):
        assert (model.cache, model.seen) == ({}, [])


def test_the_output_afterwards_is_the_same_to_the_bit() -> None:
    model = torchvision.models.resnet18().eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(x)
        found = discover(model, x)
        assert torch.equal(model(x), expected)
        assert torch.equal(found.graph(x), expected)


def test_a_training_mode_model_is_taken_in_eval_mode() -> None:
    model = torchvision.models.resnet18().train()
    x = torch.randn(2, 3, 32, 32)
    rebuilt = discover(model, x).graph(x)
    assert torch.equal(rebuilt, model.eval()(x))


def test_memory_is_shared_but_objects_are_not() -> None:
    model = torchvision.models.resnet18().eval()
    found = discover(model, torch.randn(1, 3, 32, 32))
    mine = dict(model.named_parameters())
    for name, parameter in found.graph.named_parameters():
        assert parameter is not mine[name]
        assert parameter.data_ptr() == mine[name].data_ptr()


@pytest.mark.parametrize("place", ["graph", "branch", "taps"])
def test_converting_what_was_produced_leaves_the_model_alone(place: str) -> None:
    model = torchvision.models.resnet18().eval()
    found = discover(model, torch.randn(1, 3, 32, 32))
    produced = {"graph": found.graph, "branch": found.units[1].branch, "taps": found.with_taps()}[place]
    produced.to(torch.float64)
    produced.requires_grad_(False)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in model.parameters())


def test_statistics_gathered_in_eval_mode_are_not_written(written, x) -> None:
    """A forward pass that insists on batch statistics writes its running ones: the graph must not."""

    def forward(m, x):
        return torch.nn.functional.batch_norm(x, m.n.running_mean, m.n.running_var, training=True)

    model = written(forward, n=nn.BatchNorm2d(4)).eval()
    before = _snapshot(model)
    found = discover(model, x)
    assert torch.equal(found.graph(x), forward(written(forward, n=nn.BatchNorm2d(4)), x))
    _assert_same(before, _snapshot(model))


def test_casts_in_the_networks_code_follow_the_copys_precision(written, branch, x) -> None:
    model = written(lambda m, x: x + m.f(x.double().float()), f=branch())
    copy = discover(model, x).to(dtype=torch.float64)
    expected = x.double() + model.f.double()(x.double())
    torch.testing.assert_close(copy.graph(x.double()), expected, rtol=1e-13, atol=1e-13)


def test_a_copy_in_double_precision_shares_nothing() -> None:
    model = torchvision.models.resnet18().eval()
    x = torch.randn(1, 3, 32, 32)
    found = discover(model, x)
    copy = found.to(dtype=torch.float64)
    reference = torchvision.models.resnet18().double().eval()
    reference.load_state_dict(model.state_dict())
    expected = reference(x.double())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(copy.graph(x.double()), expected, rtol=1e-12, atol=1e-12)
    assert [unit.name for unit in copy.units] == [unit.name for unit in found.units]
    assert {p.dtype for unit in copy.units for p in unit.branch.parameters()} == {torch.float64}


def test_constants_folded_for_a_branch_are_computed_in_the_copys_precision(written, x) -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    model = written(lambda m, x: x + m.c(torch.tanh(m.c(x))), c=conv).eval()
    copy = discover(model, x).to(dtype=torch.float64)
    expected = model.double()(x.double())
    torch.testing.assert_close(copy.units[0].sum_map(x.double()), expected, rtol=1e-13, atol=1e-13)
