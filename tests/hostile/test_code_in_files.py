"""Files that would run code when they are read: none does, as a model or as inputs, whatever its wrapping."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet_diffeo_probe.errors import DiffeoProbeError, InputsError, LoadError
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load


class Writes:
    """Unpickled with full powers, it leaves a folder behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


class Nested:
    """A harmless call, one of whose arguments is the harmful one; and again in the state and the items."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            OrderedDict,
            ([("weight", self.inner)],),
            {"state": self.inner},
            None,
            iter([("item", self.inner)]),
        )


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def tar_checkpoint(content: Any) -> bytes:
    """Return what PyTorch 0.1 wrote: a tar archive of three pickles."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def in_zip(name: str, content: bytes, inside: Any) -> bytes:
    """Return a copy of a zip archive in which one record is a pickle of `inside`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = pickle.dumps(inside, protocol=2) if info.filename.endswith(name) else old.read(info)
            new.writestr(info.filename, data)
    return out.getvalue()


def script() -> bytes:
    """Return a TorchScript archive."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.ReLU(), torch.zeros(1, 1, 2, 2)), stream)
    return stream.getvalue()


def exported() -> bytes:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(nn.Conv2d(1, 1, 1).eval(), (torch.zeros(1, 1, 2, 2),)), stream)
    return stream.getvalue()


def object_array(content: Any) -> bytes:
    stream = io.BytesIO()
    array = np.empty(1, dtype=object)
    array[0] = content
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def legacy(content: Any) -> bytes:
    return saved(content, _use_new_zipfile_serialization=False)


FORMS = {
    "plain pickle, protocol 0": lambda evil: pickle.dumps(evil, protocol=0),
    "plain pickle, protocol 2": lambda evil: pickle.dumps(evil, protocol=2),
    "plain pickle, protocol 5": lambda evil: pickle.dumps({"state_dict": evil}, protocol=5),
    "zip": saved,
    "zip, as a value": lambda evil: saved({"state_dict": {"a": torch.zeros(1), "b": evil}}),
    "zip, as a key's": lambda evil: saved({"epoch": 1, "args": [evil]}),
    "legacy": legacy,
    "legacy, beside weights": lambda evil: legacy({"w": torch.zeros(2), "evil": evil}),
    "nested": lambda evil: saved({"w": torch.zeros(2), "evil": Nested(Nested(evil))}),
    "nested, legacy": lambda evil: legacy(Nested(evil)),
    "tar": tar_checkpoint,
    "TorchScript, data": lambda evil: in_zip("data.pkl", script(), evil),
    "TorchScript, constants": lambda evil: in_zip("constants.pkl", script(), evil),
    "exported, sample inputs": lambda evil: in_zip("data/sample_inputs/model.pt", exported(), evil),
    "array of objects": object_array,
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-was-run"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".pt2", ".npy", ".safetensors", ".png", ""])
def test_nothing_is_run(tmp_path, marker, form, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(FORMS[form](Writes(marker)))
    with pytest.raises(LoadError) as as_model:
        load(path)
    with pytest.raises(InputsError) as as_inputs:
        read_inputs(path, preprocessing=Preprocessing())
    for error in (as_model.value, as_inputs.value):
        assert error.what and error.why and error.fix
    assert not marker.exists()


@pytest.mark.parametrize("form", [name for name in FORMS if "exported" not in name and "array" not in name])
def test_these_files_do_what_they_threaten(tmp_path, marker, form):
    """The counter-check: what trusts them runs them."""
    content = FORMS[form](Writes(marker))
    (tmp_path / "file.pt").write_bytes(content)
    if form.startswith("TorchScript"):
        with zipfile.ZipFile(
            io.BytesIO(content)
        ) as archive:  # torch.jit's reader has no full powers; pickle's has
            [name] = [n for n in archive.namelist() if n.endswith(form.rpartition(" ")[2] + ".pkl")]
            pickle.loads(archive.read(name))  # noqa: S301 - the counter-check
    elif form == "tar" or form.endswith("protocol 0"):
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            torch.load(tmp_path / "file.pt", weights_only=False)
        if not marker.exists():
            pickle.loads(content)  # noqa: S301 - the counter-check
    else:
        with pytest.raises(DiffeoProbeError):
            load(tmp_path / "file.pt", trust_pickle=True)
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["posix.system", "builtins.eval", "torch.load", "torch.hub.load", "webbrowser.open"]
)
def test_the_call_is_named(tmp_path, name):
    module, _, function = name.rpartition(".")
    pickled = f"c{module}\n{function}\n(S'x'\ntR.".encode()
    content = saved({"w": torch.zeros(1)})
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, pickled if info.filename.endswith("data.pkl") else old.read(info))
    (tmp_path / "a.pt").write_bytes(out.getvalue())
    with pytest.raises(LoadError) as caught:
        load(tmp_path / "a.pt")
    assert caught.value.code == "pickle-not-trusted"
    assert name in (caught.value.why or "")
