"""Every kind of file is told from its bytes, and every wrong one has its own message."""

from __future__ import annotations

import gzip
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.file_kind import FileKind, identify


def refused(path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        identify(path)
    error = caught.value
    assert error.what and error.why and error.fix
    assert error.exit_code == 3
    return error


def test_kinds(tmp_path):
    tensors = {"a": torch.zeros(2)}
    torch.save(tensors, tmp_path / "zip.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "x.safetensors")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert identify(tmp_path / "zip.pt") is FileKind.TORCH_ZIP
    assert identify(tmp_path / "old.pt") is FileKind.TORCH_LEGACY
    assert identify(tmp_path / "x.safetensors") is FileKind.SAFETENSORS
    assert identify(tmp_path / "x.pkl") is FileKind.PICKLE


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "resnet20.pth").write_bytes(b"x")
    error = refused(tmp_path / "resnet_20.pth")
    assert error.code == "file-not-found"
    assert "resnet20.pth" in error.fix


def test_missing_folder(tmp_path):
    assert "no folder" in refused(tmp_path / "nowhere" / "a.pt").why


def test_folder_names_the_models_inside(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"x")
    error = refused(tmp_path)
    assert error.code == "file-is-a-folder"
    assert "best.pt" in error.fix


def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").code == "not-a-regular-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"x")
    (tmp_path / "a.pt").chmod(0)
    assert refused(tmp_path / "a.pt").code == "file-unreadable"


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"", "file-empty", "0 bytes"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "file-is-html", "login"),
        (b"\n  <HTML lang='en'>", "file-is-html", "HTML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "file-is-lfs-pointer",
            "64 bytes",
        ),
        (b"learning_rate: 0.1\nepochs: 3\n", "file-is-text", "learning_rate"),
        ("größe: 3\n".encode() * 1000, "file-is-text", "größe"),
        (gzip.compress(b"weights", mtime=0), "not-a-model-file", "gzip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not-a-model-file", "Keras"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not-a-model-file", "PNG"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "not-a-model-file", "NumPy"),
        (bytes(range(128, 256)), "not-a-model-file", "first bytes"),
        (b"PK\x03\x04" + bytes(50), "file-truncated", "directory is missing"),
    ],
)
def test_wrong_files(tmp_path, content, code, word):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    error = refused(path)
    assert error.code == code
    assert word in error.why


def test_lfs_pointer_says_how_to_fetch(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refused(path).fix


def test_truncated_checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert refused(path).code == "file-truncated"


def test_other_zip(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "e.zip", "w"):
        pass
    assert "a.npy" in refused(tmp_path / "x.npz").why
    assert refused(tmp_path / "e.zip").code == "not-a-model-file"


def test_damaged_safetensors(tmp_path):
    save_file({"a": torch.zeros(8)}, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(content[:20])
    assert "safetensors" in refused(tmp_path / "x.safetensors").why


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"<html>", b"{"])
)
def test_any_bytes_give_a_kind_or_a_message(tmp_path, content, start):
    path = tmp_path / "model.pt"
    path.write_bytes(start + content)
    try:
        assert isinstance(identify(path), FileKind)
    except LoadError as error:
        assert error.why and error.fix


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-that-name/a.pt", "", "."])
def test_absurd_paths(name):
    assert refused(Path(name)).code in {"file-unreadable", "file-not-found", "file-is-a-folder"}


def test_zip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("resnet_diffeo_probe.inputs.unpacking._MOST_UNPACKED", 2**20)
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"x")
        archive.writestr("a/data/0", bytes(2**21))
    assert refused(tmp_path / "a.pt").code == "file-unpacks-too-large"
