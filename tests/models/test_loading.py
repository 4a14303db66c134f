"""`load` from end to end: the same numbers as the module that was saved, and no trace left behind."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models import CifarResNet, load

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def saves(net: nn.Module, path) -> dict[str, object]:
    """The ways of saving that need no consent, and what the report calls them."""
    state = net.state_dict()
    return {
        "state dict (PyTorch checkpoint)": lambda: torch.save(state, path),
        "state dict (PyTorch checkpoint (format before 1.6))": lambda: torch.save(
            state, path, _use_new_zipfile_serialization=False
        ),
        "state dict nested in a checkpoint (key 'state_dict')": lambda: torch.save(
            {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, path
        ),
        "state dict (safetensors)": lambda: save_file(state, path),
    }


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("suffix", [".pt", ".th", ".safetensors", ""])
def test_formats(tmp_path, small, number, suffix):
    path = tmp_path / f"model{suffix}"
    expected, save = list(saves(small, path).items())[number]
    save()
    loaded = load(path)
    assert loaded.format == expected
    assert loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.architecture == "cifar_resnet8 (option A)"
    assert loaded.architecture_assumed
    assert loaded.num_classes == 7
    assert loaded.input_shape == (3, 32, 32)
    assert loaded.parameters == sum(p.numel() for p in small.parameters())
    assert torch.equal(loaded.module(X), small(X))
    assert not loaded.module.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in loaded.module.parameters())
    assert not any(t.is_meta for t in loaded.module.state_dict().values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precision(tmp_path, small, dtype):
    torch.save(
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in small.state_dict().items()},
        tmp_path / "m",
    )
    loaded = load(str(tmp_path / "m"))
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())
    assert any("float32" in note for note in loaded.notes)
    torch.testing.assert_close(loaded.module(X), small(X), rtol=0.1, atol=0.1)


def test_image_size_in_metadata(tmp_path, small):
    save_file(small.state_dict(), tmp_path / "m", metadata={"input_shape": "3,16,20"})
    loaded = load(tmp_path / "m")
    assert loaded.input_shape == (3, 16, 20)
    assert any("metadata" in note for note in loaded.notes)


@pytest.mark.parametrize("text", ["", "3", "a,b,c", "3,0,4", "3,-1,4", "1,2,3,4"])
def test_nonsense_in_metadata_is_ignored(tmp_path, small, text):
    save_file(small.state_dict(), tmp_path / "m", metadata={"input_shape": text})
    assert load(tmp_path / "m").input_shape == (3, 32, 32)


def test_nan_is_named(tmp_path, small):
    small.layer1[0].bn1.running_var[2] = float("nan")
    torch.save(small.state_dict(), tmp_path / "m")
    with pytest.raises(LoadError) as caught:
        load(tmp_path / "m")
    assert caught.value.code == "weights-not-finite"
    assert "layer1.0.bn1.running_var (1 of 16)" in caught.value.why


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_pickled_module(tmp_path, small, nested, parallel):
    module = nn.DataParallel(small) if parallel else small
    module.train()
    torch.save({"model": module} if nested else module, tmp_path / "m")
    with pytest.raises(LoadError) as caught:
        load(tmp_path / "m")
    assert caught.value.code == "pickle-not-trusted"
    assert "cifar_resnet.CifarResNet" in caught.value.why
    loaded = load(tmp_path / "m", trust_pickle=True)
    assert loaded.architecture == "resnet_diffeo_probe.models.cifar_resnet.CifarResNet (pickled)"
    assert not loaded.architecture_assumed
    assert loaded.num_classes == 7
    assert not loaded.module.training
    assert torch.equal(loaded.module(X), small.eval()(X))


def test_global_state_is_kept(tmp_path, small, monkeypatch):
    (tmp_path / "greedy.py").write_text(
        "import random, numpy, torch\nfrom resnet_diffeo_probe.models import CifarResNet\n"
        "def make():\n"
        "    torch.manual_seed(5); numpy.random.seed(5); random.seed(5); torch.set_default_dtype(torch.float64)\n"
        "    return CifarResNet((1, 1, 1), num_classes=7)\n"
    )
    monkeypatch.chdir(tmp_path)
    torch.save(small.state_dict(), tmp_path / "m")
    torch.set_default_dtype(torch.float64)
    try:
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
        for arch in (None, "greedy:make", "cifar_resnet8"):
            assert next(load(tmp_path / "m", arch=arch).module.parameters()).dtype == torch.float32
        assert torch.get_default_dtype() == torch.float64
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        assert (np.random.get_state()[1] == states[2]).all()
    finally:
        torch.set_default_dtype(torch.float32)


def test_state_is_kept_after_an_error(tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(LoadError):
            load(tmp_path / "missing")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_file_is_not_changed_and_not_kept(tmp_path, small):
    path = tmp_path / "m"
    torch.save(small.state_dict(), path)
    before = path.read_bytes()
    loaded = load(path)
    with torch.no_grad():
        for parameter in loaded.module.parameters():
            parameter.zero_()
    assert path.read_bytes() == before


def test_names_with_spaces_and_markup(tmp_path, small):
    path = tmp_path / "a <b> ü.pt"
    torch.save(small.state_dict(), path)
    assert load(path).path == path


def test_slow_libraries_are_imported_where_they_are_needed():
    code = (
        "import sys, resnet_diffeo_probe.models as models, resnet_diffeo_probe.inputs\n"
        "assert 'torchvision' not in sys.modules and 'PIL' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_demo_loads_by_inference():
    from resnet_diffeo_probe.demo import demo_paths
    from resnet_diffeo_probe.inputs import Preprocessing, accuracy, read_inputs

    demo = demo_paths()
    assert demo.model.stat().st_size <= 300 * 1024
    assert sum(p.stat().st_size for p in demo.inputs.rglob("*.png")) <= 60 * 1024
    loaded = load(demo.model, arch=demo.arch)
    assert loaded.architecture_assumed
    assert loaded.input_shape == (1, 8, 8)
    preprocessing = Preprocessing(demo.mean, demo.std, demo.size)
    inputs = read_inputs(demo.inputs, preprocessing=preprocessing, shape=loaded.input_shape)
    assert inputs.skipped == ()
    correct, total = accuracy(loaded.module(inputs.tensor), inputs, loaded.num_classes)
    assert total == 32
    assert correct >= 0.95 * total


def test_demo_has_both_signs_of_the_determinant():
    """Dense float64 Jacobians of the first unit's sum: the demo's verdict is not a foregone conclusion."""
    from resnet_diffeo_probe.demo import demo_paths
    from resnet_diffeo_probe.inputs import Preprocessing, read_inputs

    demo = demo_paths()
    net = load(demo.model).module.double()
    assert isinstance(net, CifarResNet)
    inputs = read_inputs(demo.inputs, preprocessing=Preprocessing(demo.mean, demo.std), count=8)
    unit = net.layer1[0]
    with torch.no_grad():
        u = torch.relu(net.bn1(net.conv1(inputs.tensor.double())))

    def sum_map(flat: torch.Tensor) -> torch.Tensor:
        x = flat.view(1, *u.shape[1:])
        return (x + unit.bn2(unit.conv2(torch.relu(unit.bn1(unit.conv1(x)))))).flatten()

    signs = {
        int(
            torch.linalg.slogdet(
                torch.autograd.functional.jacobian(sum_map, one.flatten(), vectorize=True)
            ).sign
        )
        for one in u
    }
    assert signs == {-1, 1}


@pytest.mark.parametrize("name", ["~nobody-of-that-name/a.pt", "x" * 5000])
def test_absurd_paths(name):
    with pytest.raises(LoadError):
        load(name)


def test_pickled_module_in_half_precision(tmp_path, small):
    torch.save(small.half(), tmp_path / "m")
    loaded = load(tmp_path / "m", trust_pickle=True)
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())
    assert any("float16" in note for note in loaded.notes)
