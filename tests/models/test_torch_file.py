"""No file runs code unasked; damaged ones end in a message."""

from __future__ import annotations

import argparse
import pickle
import tarfile

import numpy as np
import pytest
import torch
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models import load


def refused(path, **keywords):
    with pytest.raises(LoadError) as caught:
        load(path, **keywords)
    error = caught.value
    assert error.what and error.why and error.fix
    return error


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_checkpoint_is_not_run(tmp_path, hostile, marker, zipped):
    path = tmp_path / "model.pt"
    torch.save({"state_dict": hostile}, path, _use_new_zipfile_serialization=zipped)
    error = refused(path)
    assert error.code == "pickle-not-trusted"
    assert "posix.mkdir" in error.why
    assert "--trust-pickle" in error.fix
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_hostile_plain_pickle_is_not_run(tmp_path, hostile, marker, protocol):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(hostile, protocol=protocol))
    error = refused(path)
    assert error.code == "pickle-not-trusted"
    assert "posix.mkdir" in error.why
    assert not marker.exists()


def test_hostile_file_runs_if_trusted(tmp_path, hostile, marker):
    """The counter-check: these files do what they threaten."""
    torch.save({"state_dict": hostile}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", trust_pickle=True)
    assert marker.is_dir()


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(0.5), "numpy"),
        (nn.ReLU(), "torch.nn.modules"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_extras_are_refused_by_name_and_loaded_with_trust(tmp_path, small, extra, wanted, zipped):
    path = tmp_path / "model.pt"
    torch.save(
        {"state_dict": small.state_dict(), "extra": extra}, path, _use_new_zipfile_serialization=zipped
    )
    error = refused(path)
    assert error.code == "pickle-not-trusted"
    assert wanted in error.why
    assert load(path, trust_pickle=True).architecture.startswith("cifar_resnet8")


def test_trust_does_not_widen_what_needs_no_trust(tmp_path, small):
    torch.save(small.state_dict(), tmp_path / "model.pt")
    assert load(tmp_path / "model.pt", trust_pickle=True).architecture_assumed


def test_tar_format_is_refused(tmp_path, marker):
    with tarfile.open(tmp_path / "model.pt", "w") as archive:
        (tmp_path / "sys_info").write_bytes(b"x" * 600)
        archive.add(tmp_path / "sys_info", arcname="sys_info")
    assert refused(tmp_path / "model.pt").code == "pickle-not-trusted"
    assert refused(tmp_path / "model.pt", trust_pickle=True).code == "file-truncated"


def test_class_that_is_not_here(tmp_path):
    content = pickle.dumps(argparse.Namespace(a=1), protocol=2).replace(b"argparse", b"nobodyXX")
    (tmp_path / "model.pkl").write_bytes(content)
    error = refused(tmp_path / "model.pkl", trust_pickle=True)
    assert error.code == "pickle-needs-code"
    assert "nobodyXX" in error.why


@pytest.mark.parametrize("keep", [0.05, 0.4, 0.9, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated(tmp_path, small, keep, zipped):
    path = tmp_path / "model.pt"
    torch.save(small.state_dict(), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert refused(path).code == "file-truncated"


def test_bytes_flipped_anywhere_never_escape_as_another_error(tmp_path, small):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(bytes(damaged))
        refused(path)


def test_damaged_safetensors(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,80]}}'
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert refused(tmp_path / "m.safetensors").code == "file-truncated"
