"""Exported programs: loaded where they are plain graphs, refused wherever something in them could run code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models import CifarResNet, load

MODEL = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def net() -> CifarResNet:
    torch.manual_seed(0)
    return CifarResNet((1, 1), (4, 6), in_channels=1, num_classes=3).eval()


def export(module: nn.Module, path: Path, x: torch.Tensor, *, dynamic: bool = False) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="module")
def plain(net, tmp_path_factory) -> Path:
    return export(net, tmp_path_factory.mktemp("export") / "m.pt2", torch.randn(2, 1, 8, 8), dynamic=True)


def rewritten(plain: Path, path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Return a copy of an archive with other records."""
    reader = PT2ArchiveReader(str(plain))
    skip = (".data/", "byteorder", "version")
    records = {n: reader.read_bytes(n) for n in reader.get_file_names() if not n.startswith(skip)}
    change(records)
    with PT2ArchiveWriter(str(path)) as writer:
        for name, content in records.items():
            writer.write_bytes(name, content)
    return path


def graph_changed(plain: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    def edit(records: dict[str, bytes]) -> None:
        model = json.loads(records[MODEL])
        change(model)
        records[MODEL] = json.dumps(model).encode()

    return rewritten(plain, path, edit)


def refused(path: Path, code: str = "exported-not-trusted", **keywords: Any) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load(path, **keywords)
    assert caught.value.code == code, caught.value
    assert caught.value.why and caught.value.fix
    return caught.value


def test_same_numbers(plain, net):
    loaded = load(plain)
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(loaded.module(x), net(x))
    assert loaded.architecture == "exported cifar_resnet.CifarResNet"
    assert not loaded.architecture_assumed
    assert loaded.input_shape == (1, 8, 8)
    assert loaded.num_classes == 3
    assert loaded.parameters == sum(p.numel() for p in net.parameters())
    assert not any(p.requires_grad for p in loaded.module.parameters())


def test_rewriting_alone_changes_nothing(plain, tmp_path, net):
    """The counter-check for the hostile archives below: untouched, they load."""
    path = graph_changed(plain, tmp_path / "same.pt2", lambda model: None)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(load(path).module(x), net(x))


def test_static_batch_is_noted(net, tmp_path):
    loaded = load(export(net, tmp_path / "m.pt2", torch.randn(4, 1, 8, 8)), arch="resnet18")
    assert any("batch of exactly 4" in note for note in loaded.notes)
    assert any("not needed" in note for note in loaded.notes)


def test_suffix_does_not_matter(plain, tmp_path):
    (tmp_path / "model.bin").write_bytes(plain.read_bytes())
    assert load(tmp_path / "model.bin").num_classes == 3


def test_training_mode(net, tmp_path):
    path = export(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train(),
        tmp_path / "m.pt2",
        torch.randn(2, 1, 8, 8),
    )
    refused(path, "exported-in-training-mode")


def test_half_precision(tmp_path):
    path = export(nn.Conv2d(1, 2, 3).half(), tmp_path / "m.pt2", torch.randn(2, 1, 8, 8).half())
    assert "float16" in refused(path, "exported-precision").what


def test_inputs_that_are_no_images(tmp_path):
    refused(export(nn.Linear(3, 2), tmp_path / "m.pt2", torch.randn(2, 3)), "exported-inputs")


def test_hostile_sample_inputs(plain, tmp_path, hostile, marker):
    buffer = io.BytesIO()
    torch.save(((hostile,), {}), buffer)
    path = rewritten(plain, tmp_path / "m.pt2", lambda records: records.update({SAMPLES: buffer.getvalue()}))
    assert "posix.mkdir" in refused(path).why
    assert not marker.exists()
    # and the threat is real: torch's own loader falls back to full powers
    load(path, trust_pickle=True)
    assert marker.exists()


def test_hostile_weight(plain, tmp_path, hostile, marker):
    buffer = io.BytesIO()
    torch.save(hostile, buffer)
    config = "data/weights/model_weights_config.json"

    def change(records: dict[str, bytes]) -> None:
        content = json.loads(records[config])
        content["config"]["conv1.weight"].update(use_pickle=True, path_name="weight_0")
        records[config] = json.dumps(content).encode()
        records["data/weights/weight_0"] = buffer.getvalue()

    assert "conv1.weight" in refused(rewritten(plain, tmp_path / "m.pt2", change)).why
    assert not marker.exists()


@pytest.mark.parametrize("prefix", ["custom_obj_0", "opaque_obj_0"])
def test_hostile_constant(plain, tmp_path, hostile, marker, prefix):
    import pickle

    def change(records: dict[str, bytes]) -> None:
        entry = {"path_name": prefix, "is_param": False, "use_pickle": False, "tensor_meta": None}
        records["data/constants/model_constants_config.json"] = json.dumps({"config": {"c": entry}}).encode()
        records[f"data/constants/{prefix}"] = pickle.dumps(hostile)

    assert prefix in refused(rewritten(plain, tmp_path / "m.pt2", change)).why
    assert not marker.exists()


def test_compiled_library(plain, tmp_path):
    path = rewritten(
        plain, tmp_path / "m.pt2", lambda r: r.update({"data/aotinductor/model/m.so": b"\x7fELF"})
    )
    assert "m.so" in refused(path).why


def test_legacy_weights(plain, tmp_path, hostile, marker):
    buffer = io.BytesIO()
    torch.save(hostile, buffer)
    path = rewritten(
        plain, tmp_path / "m.pt2", lambda r: r.update({"data/weights/model.pt": buffer.getvalue()})
    )
    refused(path)
    assert not marker.exists()


def _operator(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda model: model["graph_module"]["graph"]["nodes"][2].update(target=name)


def _expression(text: str) -> Callable[[dict[str, Any]], None]:
    def change(model: dict[str, Any]) -> None:
        values = model["graph_module"]["graph"]["tensor_values"]
        values["x"]["sizes"][0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}

    return change


def _tree(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda model: model["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=text)


def _argument(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda model: model["graph_module"]["module_call_graph"][0]["signature"].update(
        forward_arg_names=[text]
    )


ENUM_CONTEXT = json.dumps([{"__enum__": True, "fqn": "antigravity:x", "name": "y"}])
ENUM = json.dumps([1, {"type": "builtins.dict", "context": ENUM_CONTEXT, "children_spec": []}])


@pytest.mark.parametrize(
    "change",
    [
        _operator("torch.os.system"),
        _operator("torch.load"),
        _operator("torch.ops.aten.from_file.default"),
        _operator("torch.ops.aten.__init__.__globals__"),
        _operator("torch.ops.higher_order.cond"),
        _operator("_operator.methodcaller"),
        _operator("#custom:thing"),
        _operator("math.sqrt"),
        _expression("__import__('os').mkdir('{marker}')"),
        _expression("(lambda: 1)()"),
        _expression("Symbol('s0').func"),
        _expression("open('x')"),
        _tree(ENUM),
        _tree('[1, {"type": "collections.defaultdict", "context": "[]", "children_spec": []}]'),
        _tree("nonsense"),
        _argument("x=__import__('os').getpid()"),
        _argument("x):\n import os\n def f("),
        lambda model: model.update(guards_code=["__import__('os').getpid()"]),
        lambda model: model["graph_module"]["graph"]["nodes"][0].update(name="a;b"),
        lambda model: model["graph_module"]["graph"]["tensor_values"].update({'w"]+x': {}}),
    ],
)
def test_graphs_that_could_run_code(plain, tmp_path, change, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a suspicious archive must not reach torch.export.load")

    path = graph_changed(plain, tmp_path / "m.pt2", change)
    monkeypatch.setattr(torch.export, "load", never)
    refused(path)


def test_shape_expressions_do_run_code_in_torch(plain, tmp_path, marker):
    """The counter-check: sympy evaluates the text."""
    path = graph_changed(plain, tmp_path / "m.pt2", _expression(f"__import__('os').mkdir('{marker}')"))
    refused(path)
    assert not marker.exists()
    with pytest.raises(LoadError):
        load(path, trust_pickle=True)
    assert marker.exists()


def test_records_outside_the_folder(plain, tmp_path):
    path = tmp_path / "m.pt2"
    path.write_bytes(plain.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("version", "8.8")
    with pytest.raises(LoadError):
        load(path)


def test_format_before_2_8(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("version", "8.2")
        archive.writestr("serialized_exported_program.json", "{}")
    assert "torch.export.save" in refused(tmp_path / "m.pt2", "exported-unreadable").fix
    refused(tmp_path / "m.pt2", "exported-unreadable", trust_pickle=True)


@pytest.mark.parametrize(
    "name", [MODEL, SAMPLES, "data/weights/model_weights_config.json", "data/weights/weight_0"]
)
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"garbage"])
def test_damaged_records_end_in_a_message(plain, tmp_path, name, content):
    path = rewritten(plain, tmp_path / "m.pt2", lambda records: records.update({name: content}))
    try:
        load(path)
    except LoadError as error:
        assert error.why and error.fix
    else:
        assert name == SAMPLES  # the graph does not need them


def test_truncated(plain, tmp_path):
    content = plain.read_bytes()
    (tmp_path / "m.pt2").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "m.pt2", "file-truncated")


@pytest.mark.parametrize("name", [{"training": True}, ["train"], 3, None])
def test_argument_whose_name_is_no_text(plain, tmp_path, name):
    def change(model: dict[str, Any]) -> None:
        model["graph_module"]["graph"]["nodes"][0]["inputs"][0]["name"] = name

    path = graph_changed(plain, tmp_path / "m.pt2", change)
    with pytest.raises(LoadError) as caught:
        load(path)
    assert caught.value.code == "exported-unreadable"
