"""Stored tensors: read without running anything, or refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.inputs.tensor_file import read_tensor


class WritesMarker:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refused(path) -> InputsError:
    with pytest.raises(InputsError) as caught:
        read_tensor(path)
    assert caught.value.why and caught.value.fix
    return caught.value


def whole(path) -> tuple[torch.Tensor, bool]:
    rows, pixels, _ = read_tensor(path)
    return rows.part(0, len(rows)), pixels


X = torch.randn(3, 1, 4, 5, generator=torch.Generator().manual_seed(0))


def test_formats(tmp_path):
    np.save(tmp_path / "a.npy", X.numpy())
    np.save(tmp_path / "big.npy", X.numpy().astype(">f4"))
    np.save(tmp_path / "order.npy", np.asfortranarray(X.numpy()))
    torch.save(X, tmp_path / "a.pt")
    torch.save({"labels": torch.zeros(3), "inputs": X}, tmp_path / "dict.pt")
    torch.save(X.requires_grad_(), tmp_path / "grad.pt")
    save_file({"x": X.detach()}, tmp_path / "a.safetensors")
    for path in sorted(tmp_path.iterdir()):
        tensor, pixels = whole(path)
        assert not pixels
        assert torch.equal(tensor, X), path
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad


def test_single_input_and_other_precision(tmp_path):
    torch.save(X[0].half(), tmp_path / "a.pt")
    rows, _, notes = read_tensor(tmp_path / "a.pt")
    assert (len(rows), rows.shape) == (1, (1, 4, 5))
    assert "float16" in notes[0]
    torch.save(torch.zeros(1, 2, 2, dtype=torch.uint8), tmp_path / "b.pt")
    assert read_tensor(tmp_path / "b.pt")[1]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (torch.zeros(3, 4), "inputs-shape"),
        (torch.zeros(0, 1, 4, 4), "inputs-shape"),
        (torch.zeros(2, 1, 2, 2, 2), "inputs-shape"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.int64), "inputs-dtype"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.complex64), "inputs-dtype"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.bool), "inputs-dtype"),
        (torch.full((2, 1, 2, 2), float("nan")), "inputs-not-finite"),
        (torch.full((9, 1, 2, 2), 1e300, dtype=torch.float64), "inputs-not-finite"),
        ([1, 2], "inputs-not-a-tensor"),
        ({"a": torch.zeros(1), "b": torch.zeros(1)}, "inputs-not-a-tensor"),
        ({"a": 3}, "inputs-not-a-tensor"),
    ],
)
def test_unusable(tmp_path, value, code):
    torch.save(value, tmp_path / "a.pt")
    assert refused(tmp_path / "a.pt").code == code


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_not_run(tmp_path, zipped):
    marker = tmp_path / "ran"
    torch.save(WritesMarker(marker), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert refused(tmp_path / "a.pt").code == "inputs-not-trusted"
    assert not marker.exists()


def test_hostile_array_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    np.save(tmp_path / "a.npy", np.array([WritesMarker(marker)], dtype=object), allow_pickle=True)
    assert refused(tmp_path / "a.npy").code in {"inputs-unreadable", "inputs-shape", "inputs-dtype"}
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["npy", "pt", "safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x93NUMPY\x01\x00v\x00{'descr'", b"PK\x03\x04", b"\x80\x02"]
)
def test_damaged(tmp_path, suffix, content):
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert refused(tmp_path / f"a.{suffix}").code in {
        "inputs-unreadable",
        "inputs-not-trusted",
        "inputs-not-a-tensor",
    }


def test_text_array(tmp_path):
    np.save(tmp_path / "a.npy", np.array(["a", "b"]))
    assert refused(tmp_path / "a.npy").code in {"inputs-unreadable", "inputs-shape", "inputs-dtype"}
