"""`--arch`: names of torchvision, of the CIFAR family, and functions of the user."""

from __future__ import annotations

import sys

import pytest
import torch

from resnet_diffeo_probe.errors import ConfigurationError, LoadError
from resnet_diffeo_probe.models import CifarResNet, load
from resnet_diffeo_probe.models.named import build_named


def refused(arch: str, weights=None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        build_named(arch, weights or {})
    error = caught.value
    assert error.what and error.why and error.fix
    assert error.exit_code == 2
    return error


@pytest.fixture
def saved(tmp_path, small):
    path = tmp_path / "model.pt"
    torch.save(small.state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder for modules of the user."""
    home = tmp_path / "code"
    home.mkdir()
    monkeypatch.chdir(home)
    before = set(sys.modules)
    yield home
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(home) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("arch", "suggestion"),
    [
        ("resnet51", "resnet50"),
        ("resnet_20", "cifar_resnet20"),
        ("ResNet18x", "resnet18"),
        ("cifar_resnet", "cifar_resnet20"),
        ("resnext50", "resnext50_32x4d"),
    ],
)
def test_unknown_names_get_the_nearest(arch, suggestion):
    error = refused(arch)
    assert error.code == "unknown-architecture"
    assert suggestion in error.fix


def test_a_dot_instead_of_a_colon():
    assert "my_models:make" in refused("my_models.make").fix


@pytest.mark.parametrize("arch", ["", "  ", "???", "🙂", ":", "a:", ":b"])
def test_nonsense(arch):
    assert refused(arch).code == "unknown-architecture"


def test_depths_that_do_not_exist():
    assert refused("cifar_resnet21").fix == "--arch cifar_resnet20"
    assert refused("cifar_resnet2").fix == "--arch cifar_resnet8"


def test_quantised():
    assert "--arch resnet18" in refused("quantized_resnet18").fix


@pytest.mark.parametrize("head", ["fc", "linear"])
@pytest.mark.parametrize("option", ["A", "B"])
def test_cifar_name_takes_option_and_head_from_the_weights(head, option):
    net = CifarResNet((2, 2, 2), shortcut=option, head=head, num_classes=4)
    found = build_named("cifar_resnet14", net.state_dict())
    assert found.name == f"cifar_resnet14 (option {option})"
    assert not found.assumed
    assert found.num_classes == 4


def test_wrong_cifar_name_names_the_keys(saved):
    with pytest.raises(LoadError) as caught:
        load(saved, arch="cifar_resnet20")
    assert "missing: layer1.1.conv1.weight" in caught.value.why


def test_wrong_torchvision_name_names_the_keys(saved):
    with pytest.raises(LoadError) as caught:
        load(saved, arch="resnet18")
    assert "67 missing: layer1.1.conv1.weight" in caught.value.why
    assert "leave --arch out" in caught.value.fix
    assert "cifar_resnet8 (option A)" in caught.value.fix
    assert "[16, 3, 3, 3] in the file, [64, 3, 7, 7] in the model" in caught.value.why


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5"])
def test_torchvision_names_with_any_number_of_classes(tmp_path, name):
    from torchvision import models

    net = models.get_model(name, weights=None, num_classes=6).eval()
    torch.save(net.state_dict(), tmp_path / "m.pt")
    loaded = load(tmp_path / "m.pt", arch=name)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.module(x), net(x))
    assert not loaded.architecture_assumed
    assert loaded.architecture == f"torchvision {name}"


def test_segmentation_does_not_download_a_backbone(monkeypatch):
    def download(*_, **__):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    found = build_named("lraspp_mobilenet_v3_large", {})
    assert found.name == "torchvision lraspp_mobilenet_v3_large"
    assert found.input_shape is None


@pytest.mark.parametrize(
    "signature", ["num_classes=10", "num_classes", "", "*, num_classes: int = 10", "width=16, num_classes=10"]
)
def test_factory(folder, saved, small, signature):
    classes = "num_classes" if "num_classes" in signature else "7"
    (folder / "my_models.py").write_text(
        "from resnet_diffeo_probe.models import CifarResNet\n"
        f"def make({signature}):\n    return CifarResNet((1, 1, 1), num_classes={classes})\n"
    )
    loaded = load(saved, arch="my_models:make")
    assert loaded.architecture == "my_models:make"
    assert loaded.num_classes == 7
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(loaded.module(x), small(x))
    assert str(folder) not in sys.path


def test_factory_may_be_a_class_or_an_attribute(folder, saved):
    (folder / "nets.py").write_text(
        "from resnet_diffeo_probe.models import CifarResNet\n"
        "class Net(CifarResNet):\n    def __init__(self):\n        super().__init__((1, 1, 1), num_classes=7)\n"
        "class Zoo:\n    make = Net\n"
    )
    assert load(saved, arch="nets:Net").num_classes == 7
    assert load(saved, arch="nets:Zoo.make").num_classes == 7


@pytest.mark.parametrize(
    ("source", "arch", "code", "word"),
    [
        (None, "nowhere_at_all:make", "architecture-import", "no module 'nowhere_at_all'"),
        (None, "os.nowhere:make", "architecture-import", "os.nowhere"),
        ("import nowhere_at_all\n", "bad:make", "architecture-import", "no module 'nowhere_at_all'"),
        ("def make(:\n", "bad:make", "architecture-import", "SyntaxError"),
        ("raise RuntimeError('no GPU')\n", "bad:make", "architecture-import", "no GPU"),
        ("raise SystemExit(3)\n", "bad:make", "architecture-import", "SystemExit"),
        ("def build(): pass\n", "bad:make", "architecture-import", "it has build"),
        ("make = 3\n", "bad:make", "architecture-import", "int, not a function"),
        ("def make(): raise ValueError('width')\n", "bad:make", "architecture-factory", "ValueError: width"),
        ("def make(a, b): pass\n", "bad:make", "architecture-factory", "missing 2 required"),
        ("def make(): return 'net'\n", "bad:make", "architecture-factory", "returned a str"),
    ],
)
def test_factories_that_fail(folder, source, arch, code, word):
    if source is not None:
        (folder / "bad.py").write_text(source)
    error = refused(arch)
    assert error.code == code
    assert word in str(error)
