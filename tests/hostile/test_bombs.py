"""Small files built to become large or slow: each is refused or read within ten seconds and two gigabytes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache
from pathlib import Path

import pytest
import torch

SESSION_FOLDER = Path(__file__).parent
# reads each file as a session does; memory is that of the whole process, so its peak is that of the worst so far
_READ = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import session
from peak_memory import peak_kilobytes
from pathlib import Path
for line in sys.stdin:
    target, path = json.loads(line)
    started = time.process_time()
    try:
        outcome = session._outcome(session.READERS[target], Path(path))
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    peak = peak_kilobytes() / 2**20
    print(json.dumps([Path(path).name, outcome, time.process_time() - started, peak]), flush=True)
"""


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """Return a black image that is small only on disk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    channels = {0: 1, 2: 3, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * channels * depth // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_text() -> bytes:
    """Return an image with fifty compressed texts of a megabyte each."""
    data = b"a\0\0" + zlib.compress(bytes(2**20 - 100))
    text = len(data).to_bytes(4, "big") + b"zTXt" + data + zlib.crc32(b"zTXt" + data).to_bytes(4, "big")
    return png(4, 4, extra=text * 50)


def gif(frames: int) -> bytes:
    """Return an animation of many frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + frame * frames + b";"


@cache
def unpacked(size: int) -> bytes:
    """Return a checkpoint whose storage unpacks to so many zeros."""
    return checkpoint(record=bytes(size))


def checkpoint(record: bytes | None = None, members: int = 0, content: bytes | None = None) -> bytes:
    """Return a compressed checkpoint with another storage, with more members or with another pickle."""
    stream, out = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.ones(1000)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = old.read(info)
            if record is not None and info.filename.endswith("data/0"):
                data = record
            if content is not None and info.filename.endswith("data.pkl"):
                data = content
            new.writestr(info.filename, data)
        for i in range(members):
            new.writestr(f"archive/data/x{i}", b"")
    return out.getvalue()


def saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def safetensors(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def npy(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


def overlapping() -> bytes:
    """Return an archive whose hundred members are all the same compressed megabytes."""
    data = bytes(4 * 2**20)
    packed = zlib.compress(data, 9)[2:-4]
    local = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, zlib.crc32(data), len(packed), len(data), 8, 0
    )
    body = local + b"data.pkl" + packed
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, zlib.crc32(data), len(packed), len(data),
                        8, 0, 0, 0, 0, 0, 0) + b"data.pkl"  # fmt: skip
    directory = entry * 100
    return (
        body + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 100, 100, len(directory), len(body), 0)
    )


def result(part: bytes) -> bytes:
    return b'{"schema_version": "1.0", "units": ' + part + b"}"


def deep_configuration() -> bytes:
    """Return a valid analysis but for a value nested as deep as the parser just takes."""
    sys.path.insert(0, str(SESSION_FOLDER))
    try:
        from seeds import results
    finally:
        sys.path.remove(str(SESSION_FOLDER))
    place = b'"configuration": {'
    content = results()["plain.json"]
    assert place in content
    return content.replace(place, place + b'"x": ' + b"[" * 985 + b"]" * 985 + b", ")


SHAPE = '{"x":{"dtype":"F32","shape":[%s],"data_offsets":[0,%d]}}'
BOMBS = {
    ("image", "wide.png"): lambda: png(60_000, 1_500),
    ("image", "square.png"): lambda: png(9_400, 9_400),
    ("image", "deep.png"): lambda: png(6_000, 6_000, depth=16),
    ("image", "alpha.png"): lambda: png(4_000, 4_000, colour=6),
    ("image", "thin.png"): lambda: png(1_000_000, 16),
    ("image", "text.png"): png_text,
    ("image", "frames.gif"): lambda: gif(500_000),
    ("image", "huge.ppm"): lambda: b"P6 999999999 999999999 255\n" + bytes(100),
    ("image", "maxval.pgm"): lambda: b"P5 " + b"9" * 100_000 + b" 1 255\n" + bytes(100),
    ("model", "storage.pt"): lambda: unpacked(257 * 2**20),
    ("model", "members.pt"): lambda: checkpoint(members=20_000),
    ("model", "pickle.pt"): lambda: checkpoint(content=b"\x80\x02" + b"]" * 5_000_000 + b"."),
    ("model", "overlapping.pt"): overlapping,
    ("model", "deep.pt"): lambda: checkpoint(content=b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."),
    ("model", "expanded.pt"): lambda: saved({"w": torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)}),
    ("model", "shared.pt"): lambda: saved(
        dict.fromkeys(map(str, range(2000)), torch.zeros(2**17).expand(16, -1))
    ),
    ("model", "name.safetensors"): lambda: safetensors(
        b'{"' + b"x" * 20_000_000 + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)
    ),
    ("model", "shape.safetensors"): lambda: safetensors((SHAPE % ("9223372036854775807,0", 0)).encode()),
    ("model", "negative.safetensors"): lambda: safetensors((SHAPE % ("-1,-4", 16)).encode(), bytes(16)),
    ("model", "nested.safetensors"): lambda: safetensors(b'{"x":' + b"[" * 5_000_000 + b"}"),
    ("model", "long.safetensors"): lambda: safetensors(b'{"x":1}')[:6] + b"\xff\xff" + bytes(100),
    ("tensor", "storage.pt"): lambda: unpacked(257 * 2**20),
    ("tensor", "expanded.pt"): lambda: saved(torch.zeros(1).expand(10**4, 3, 224, 224)),
    ("tensor", "shape.npy"): lambda: npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 3, 224, 224)}\n"
    ),
    ("tensor", "wraps.npy"): lambda: npy(
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, 4, 4, 4)}}\n"
    ),
    ("tensor", "item.npy"): lambda: npy(
        "{'descr': '|V2000000000', 'fortran_order': False, 'shape': (1, 1, 1, 9)}\n"
    ),
    ("tensor", "header.npy"): lambda: npy("{'descr': " + "(" * 60_000 + "\n"),
    ("tensor", "bomb.npz"): lambda: unpacked(257 * 2**20),
    ("result", "lists.json"): lambda: result(b"[" + b"[]," * 20_000_000 + b"0]"),
    ("result", "deep.json"): lambda: result(b"[" * 985 + b"]" * 985),
    ("result", "configuration.json"): deep_configuration,
    ("result", "deeper.json"): lambda: result(b"[" * 10_000_000),
    ("result", "digits.json"): lambda: result(b"9" * 5_000_000),
    ("result", "exponent.json"): lambda: result(b"1e99999999"),
    ("result", "keys.json"): lambda: result(b"{" + b",".join(b'"%d":0' % i for i in range(300_000)) + b"}"),
    ("config", "dotted.toml"): lambda: b"a." * 30_000 + b"a = 1",
    ("config", "digits.toml"): lambda: b"seed = " + b"1" * 5_000,
    ("config", "hexadecimal.toml"): lambda: b"seed = 0x" + b"f" * 1_500,
    ("config", "nested.toml"): lambda: b"\n".join([b"a = ["] + [b"[" * 1_900] * 30),
    ("config", "large.toml"): lambda: b"# \n" * 10_000_000,
    ("config", "tables.toml"): lambda: b"\n".join(b"[%s]" % b".".join([b"a"] * (900 - i)) for i in range(30)),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Every bomb is read in one process, the worst memory of which is that of all."""
    folder = tmp_path_factory.mktemp("bombs")
    lines = []
    for (target, name), build in BOMBS.items():
        path = folder / f"{target}-{name}"
        path.write_bytes(build())
        lines.append(json.dumps([target, str(path)]))
    run = subprocess.run(
        [sys.executable, "-c", _READ, str(SESSION_FOLDER)],
        input="\n".join(lines), capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for path in folder.iterdir():
        path.unlink()  # they are large enough to matter
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) == len(BOMBS), f"ended at {found[-1:]}: {run.stderr[-2000:]}"
    return {name: rest for name, *rest in found}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "name"), BOMBS)
def test_bomb(told, target, name):
    outcome, seconds, peak = told[f"{target}-{name}"]
    assert "Error:" not in outcome, outcome
    assert seconds < 10
    assert peak < 2


@pytest.mark.slow
def test_what_is_within_limits_is_read(told):
    """The limits do not refuse what they need not."""
    assert told["image-alpha.png"][0] == "read and read"
    assert told["image-square.png"][0] == "inputs-none and read"
    assert told["image-frames.gif"][0] == "read and read"
    assert told["image-text.png"][0] == "read and read"
