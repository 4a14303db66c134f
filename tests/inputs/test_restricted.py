"""The check before the restricted reader: what would keep it busy for years is refused at once."""

from __future__ import annotations

import io
import pickle
import time
import zipfile

import pytest
import torch

from resnet_diffeo_probe.inputs.restricted import load_restricted


def doubled(levels: int) -> bytes:
    """Return a pickle of {t: 1} with t = (t, t) that many times over: 2 to that power leaves in a few bytes."""
    # each adds the last tuple, from the memo, to the same one on the stack
    steps = b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(levels))
    return b"\x80\x02})q\x00" + steps + b"K\x01s."


def in_checkpoint(content: bytes) -> io.BytesIO:
    stream, out = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.ones(3)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename.endswith("data.pkl") else old.read(info))
    out.seek(0)
    return out


def legacy(content: bytes) -> io.BytesIO:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3)}, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    stream.seek(0)
    for _ in range(3):
        pickle.load(stream)  # noqa: S301 - our own: the magic number, the version, the system
    return io.BytesIO(data[: stream.tell()] + content + pickle.dumps([], protocol=2))


@pytest.mark.parametrize("wrap", [in_checkpoint, legacy])
def test_tuples_in_tuples(wrap):
    [(key, value)] = load_restricted(wrap(doubled(10))).items()
    assert value == 1
    assert repr(key).count("()") == 2**10
    started = time.process_time()
    with pytest.raises(ValueError, match="tuples in tuples"):
        load_restricted(wrap(doubled(60)))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
def test_what_is_sound_is_read(zipped, protocol):
    x = torch.randn(2, 3)
    content = {
        "a": x,
        "nested": [((1, (2, (3,))), {"b": x[0]})],
        "size": x.shape,
        "text": "é",
        "p": torch.nn.Parameter(x),
    }
    stream = io.BytesIO()
    torch.save(content, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    stream.seek(0)
    read = load_restricted(stream)
    assert list(read) == list(content)
    assert torch.equal(read["a"], x)
    assert torch.equal(read["nested"][0][1]["b"], x[0])
