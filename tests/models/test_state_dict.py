"""The state dict is found wherever trainers put it, and comes out with plain names in float32."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.state_dict import check_finite, find

PATH = Path("model.pt")
WEIGHTS = {"conv1.weight": torch.ones(2, 3), "bn1.num_batches_tracked": torch.tensor(5)}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (WEIGHTS, ""),
        (OrderedDict(WEIGHTS), ""),
        ({"state_dict": WEIGHTS, "best_prec1": 91.0, "epoch": 3}, "key 'state_dict'"),
        ({"model": WEIGHTS, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}, "key 'model'"),
        ({"net": WEIGHTS, "acc": 93.1}, "key 'net'"),
        ({"ema": {"state_dict": WEIGHTS}}, "key 'ema' → 'state_dict'"),
        ({"model_state_dict": WEIGHTS}, "key 'model_state_dict'"),
        ({"generator_a": WEIGHTS, "steps": [1, 2]}, "key 'generator_a'"),
        ({"state_dict": WEIGHTS, "mean": torch.zeros(3)}, "key 'state_dict'"),
    ],
)
def test_found(content, where):
    found = find(content, PATH)
    assert found.where == where
    assert found.tensors.keys() == WEIGHTS.keys()
    assert torch.equal(found.tensors["conv1.weight"], WEIGHTS["conv1.weight"])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.module.", "net."])
def test_prefixes(prefix):
    found = find({prefix + name: tensor for name, tensor in WEIGHTS.items()}, PATH)
    assert found.tensors.keys() == WEIGHTS.keys()
    assert any(repr(prefix) in note for note in found.notes)


def test_a_prefix_that_some_names_lack_is_a_name():
    names = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert find(names, PATH).tensors.keys() == names.keys()


def test_compiled_submodules_and_averaging_counters():
    tensors = {"n_averaged": torch.tensor(3), "module.layer1._orig_mod.0.weight": torch.zeros(1)}
    assert list(find(tensors, PATH).tensors) == ["layer1.0.weight"]


def test_second_choice_is_named():
    found = find({"state_dict": WEIGHTS, "ema": WEIGHTS}, PATH)
    assert any("'ema'" in note for note in found.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precision(dtype):
    found = find({"a": torch.tensor([1.5], dtype=dtype), "n": torch.tensor(3)}, PATH)
    assert found.tensors["a"].dtype == torch.float32
    assert found.tensors["n"].dtype == torch.int64
    assert any(str(dtype).removeprefix("torch.") in note for note in found.notes)


def test_entries_that_are_no_tensors_are_noted():
    found = find({"a": torch.zeros(1), "epoch": 7}, PATH)
    assert any("'epoch'" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "empty"),
        ({"epoch": 3}, "epoch"),
        ([1, 2], "list"),
        (None, "NoneType"),
        ({0: torch.zeros(1)}, "0"),
    ],
)
def test_nothing_to_find(content, word):
    with pytest.raises(LoadError) as caught:
        find(content, PATH)
    assert caught.value.code == "no-weights"
    assert word in caught.value.why


def test_a_lone_tensor_is_not_a_model():
    with pytest.raises(LoadError, match=r"\(4, 3, 8, 8\)"):
        find(torch.zeros(4, 3, 8, 8), PATH)


def test_dictionary_that_holds_itself():
    loop: dict[str, object] = {}
    loop["model"] = loop
    with pytest.raises(LoadError):
        find(loop, PATH)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, dtype=torch.complex64),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    ],
    ids=["complex", "sparse", "quantized"],
)
def test_weights_without_a_real_jacobian(make):
    tensor = make()
    with pytest.raises(LoadError) as caught:
        find({"a": tensor}, PATH)
    assert caught.value.code == "weights-not-real"


def test_module_in_a_checkpoint():
    net = nn.Linear(2, 2)
    assert find({"model": net}, PATH).module is net


def test_every_tensor_that_is_not_finite_is_named():
    bad = {"ok": torch.ones(2), "n": torch.tensor([1, 2])}
    bad["layer1.0.bn1.running_var"] = torch.tensor([1.0, float("nan")])
    bad["fc.bias"] = torch.tensor([float("inf"), float("-inf"), 0.0])
    with pytest.raises(LoadError) as caught:
        check_finite(bad, PATH)
    assert "layer1.0.bn1.running_var (1 of 2)" in caught.value.why
    assert "fc.bias (2 of 3)" in caught.value.why
    assert "ok" not in caught.value.why
    check_finite({"a": torch.ones(3), "empty": torch.zeros(0)}, PATH)


def test_tensor_that_would_fill_the_memory():
    huge = torch.zeros(1).expand(10**12)
    with pytest.raises(LoadError, match="share their numbers"):
        find({"fc.weight": huge}, PATH)


def test_tensors_that_would_fill_the_memory_together():
    one = torch.zeros(2**19, dtype=torch.float16)
    many = {f"w{i}": one.expand(8, -1) for i in range(100)}
    with pytest.raises(LoadError, match="share their numbers"):
        find(many, Path("model.pt"))
    tied = {"a.weight": one, "b.weight": one}
    assert set(find(tied, Path("model.pt")).tensors) == set(tied)
