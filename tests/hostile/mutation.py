"""Damage to files: of their bytes, of their archives' members and directories, of pickles' opcodes."""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from json_mutation import EVIL_TEXTS, change_node

__all__ = ["mutate"]

Mutation = Callable[[bytes, random.Random], bytes]

_INTERESTING = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
    2**40,
)


def mutate(content: bytes, chance: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """Return the content with one to three mutations out of those that its format offers."""
    choices: list[Mutation] = [_flip, _overwrite, _number, _truncate, _cut, _repeat, _splice(others)]
    if content[:4] == b"PK\x03\x04":
        choices += [_zip_member] * 4 + [_zip_directory] * 2
    elif content[:1] == b"{" or content[:1] == b"[":
        choices += [_json_text] * 40
    elif content[8:9] == b"{":
        choices += [_safetensors_header] * 10
    elif content[:1] == b"\x80":
        choices += [_pickle] * 5
    elif content[:4] == b"\x89PNG":
        choices += [_png_chunk] * 7
    elif content[:6] == b"\x93NUMPY":
        choices += [_npy_header] * 5
    elif content[:1] == b"#":
        choices += [_toml_line] * 30
    for _ in range(chance.choice((1, 1, 2, 3))):
        content = chance.choice(choices)(content, chance)
    return content


def _place(content: bytes, chance: random.Random) -> int:
    """Return an offset: anywhere, or in the first or last kilobyte, where formats keep their structure."""
    size = max(len(content), 1)
    where = chance.random()
    if where < 0.4:
        return chance.randrange(size)
    return chance.randrange(min(size, 1024)) if where < 0.7 else size - 1 - chance.randrange(min(size, 1024))


def _flip(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 4, 32))):
        if data:
            data[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(data)


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    new = chance.randbytes(chance.choice((1, 2, 4, 16, 64)))
    return content[:start] + new + content[start + len(new) :]


def _number(content: bytes, chance: random.Random) -> bytes:
    """Write an extreme number, in either byte order, over what may be a length."""
    size, letter = chance.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    value = chance.choice(_INTERESTING) % 256**size
    start = _place(content, chance)
    return content[:start] + struct.pack(chance.choice("<>") + letter, value) + content[start + size :]


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _cut(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    return content[:start] + content[start + chance.choice((1, 2, 8, 64, 1000)) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    return content[:start] + content[start : start + 200] * chance.choice((2, 5, 50)) + content[start:]


def _splice(others: tuple[bytes, ...]) -> Mutation:
    def splice(content: bytes, chance: random.Random) -> bytes:
        other = chance.choice(others) if others else content
        start, from_there = _place(content, chance), _place(other, chance)
        length = chance.choice((4, 40, 400, len(other)))
        return content[:start] + other[from_there : from_there + length] + content[start + length :]

    return splice


def _zip_member(content: bytes, chance: random.Random) -> bytes:
    """Mutate, rename, drop, double or empty a member, and write an archive that is sound by itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:
        return _flip(content, chance)
    if not members:
        return content
    # the pickle and the JSON are where a file speaks; storages are plain numbers
    talking = [i for i, (name, _) in enumerate(members) if name.endswith((".pkl", ".json", ".pt"))]
    at = chance.choice(talking) if talking and chance.random() < 0.7 else chance.randrange(len(members))
    name, data = members[at]
    what = chance.random()
    if what < 0.7:
        members[at] = (name, mutate(data, chance))
    elif what < 0.8:
        members[at] = (chance.choice((*EVIL_TEXTS[:15], name + "x", name.upper())) or "x", data)
    elif what < 0.87:
        del members[at]
    elif what < 0.93:
        members.append((name, mutate(data, chance)))
    else:
        members[at] = (name, b"")
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that appear twice
        _write_zip(out, members, chance)
    return out.getvalue()


def _write_zip(out: io.BytesIO, members: list[tuple[str, bytes]], chance: random.Random) -> None:
    method = zipfile.ZIP_DEFLATED if chance.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for member, data in members:
            archive.writestr(zipfile.ZipInfo(member), data, method)


def _zip_directory(content: bytes, chance: random.Random) -> bytes:
    """Write an extreme number over a field of the central directory, a local header or the end record."""
    signature = chance.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
    starts = (
        [i for i in range(len(content) - 4) if content[i : i + 4] == signature]
        if len(content) < 10**5
        else []
    )
    if not starts:
        return _number(content, chance)
    start = chance.choice(starts)
    field = start + chance.randrange(4, 46)
    size, letter = chance.choice(((2, "<H"), (4, "<I")))
    value = chance.choice(_INTERESTING) % 256**size
    return content[:field] + struct.pack(letter, value) + content[field + size :]


def _pickle(content: bytes, chance: random.Random) -> bytes:
    """Change one opcode or one argument, or slip a few opcodes in."""
    places: list[tuple[Any, Any, int]] = []
    with suppress(Exception):  # up to where it makes sense
        places.extend(pickletools.genops(content))
    if len(places) < 2:
        return _flip(content, chance)
    at = chance.randrange(len(places) - 1)
    start, stop = places[at][2], places[at + 1][2]
    what = chance.random()
    if what < 0.2:  # another opcode before the same argument
        new = chance.choice(pickletools.opcodes).code.encode("latin-1") + content[start + 1 : stop]
    elif what < 0.4:
        new = b""
    elif what < 0.6:
        other = chance.randrange(len(places) - 1)
        new = content[start:stop] + content[places[other][2] : places[other + 1][2]]
    elif what < 0.8:
        number = chance.choice((*_INTERESTING, -1, -5, 10**30))
        new = b"\x8a" + bytes([16]) + number.to_bytes(16, "little", signed=True)  # LONG1
    else:
        new = chance.choice((
            b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"ccollections\nOrderedDict\n", b"N", b"}",
            b"(", b"0", b"2", b"R", b"b", b"K\x05\x85R", b"cbuiltins\nprint\nK\x01\x85R", b"Vx\n", b"]", b")", b"Q",
        ))  # fmt: skip
    return content[:start] + new + content[stop:]


def _png_chunk(content: bytes, chance: random.Random) -> bytes:
    """Change the contents of one chunk and give it the right checksum, so that they are looked at."""
    chunks = []
    at = 8
    while at + 12 <= len(content) and len(chunks) < 100:
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return _flip(content, chance)
    index = chance.randrange(len(chunks))
    kind, data = chunks[index]
    what = chance.random()
    if kind == b"IDAT" and what < 0.5:
        data = zlib.compress(chance.choice((b"", bytes(10**6), chance.randbytes(300), bytes(50))))
    elif what < 0.7:
        data = chance.choice((_flip, _number, _truncate, _cut, _overwrite))(data, chance)
    elif what < 0.85:
        kind = chance.choice(
            (
                b"IDAT",
                b"tRNS",
                b"PLTE",
                b"iCCP",
                b"zTXt",
                b"iTXt",
                b"eXIf",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"IEND",
            )
        )
        data = chance.choice((data, zlib.compress(bytes(10**6)), b"a\0\0" + zlib.compress(bytes(10**7))))
    else:
        chunks.append((kind, data))
    chunks[index] = (kind, data)
    body = (len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks)
    return content[:8] + b"".join(body)


def _npy_header(content: bytes, chance: random.Random) -> bytes:
    """Write another header of the same length."""
    shape = chance.choice(("(9999999999, 3, 8, 8)", "(2, -3, 4, 4)", "(2**40,)", "()", "(4294967296, 4294967296)",
                           "(0, 1, 1)", "(2, 3)", "'x'", "(" * 60, "(10**9, 10**9, 10**9)",
                           "(1, 1, 9223372036854775807)"))  # fmt: skip
    dtype = chance.choice(("'<f4'", "'|O'", "'<f16'", "'<c8'", "'<U9'", "'<M8[s]'", "[('a', '<f4')]", "'|V99999999'",
                           "'<f2'", "'|u1'", "'|b1'", "__import__('os')", "'>f8'", "'<i8'", "'|S0'"))  # fmt: skip
    order = chance.choice(("True", "False", "1", "None"))
    length = len(content) if chance.random() < 0.2 else 118
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(length - 1) + "\n"
    body = content[10 + int.from_bytes(content[8:10], "little") :]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) & 0xFFFF) + header.encode() + body


def _safetensors_header(content: bytes, chance: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = _json_text(content[8 : 8 + length], chance)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _json_text(content: bytes, chance: random.Random) -> bytes:
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return _flip(content, chance)
    for _ in range(chance.choice((1, 1, 2, 6))):
        tree = change_node(tree, chance)
    return json.dumps(tree).encode()


def _toml_line(content: bytes, chance: random.Random) -> bytes:
    """Give a key another value, a table another name, or a line another place."""
    lines = content.decode("utf-8", "replace").splitlines()
    at = chance.randrange(len(lines)) if lines else 0
    value = chance.choice((
        "-1", "0", "1e400", "nan", "-inf", "9" * 5000, "0x" + "f" * 1000, "true", "[]", "[1, 'a']", "{}",
        "{a = {b = 1}}",
        "1979-05-27T07:32:00Z", "''", '"""', "[" * 500, "a." * 900 + "b = 1", json.dumps(chance.choice(EVIL_TEXTS)),
        json.dumps("*" * 300), json.dumps("[" * 200),
    ))  # fmt: skip
    key = lines[at].partition("=")[0] if lines else "a"
    what = chance.random()
    new = (
        f"{key}= {value}" if what < 0.6
        else f"[{value}]" if what < 0.7
        else f"{json.dumps(chance.choice(EVIL_TEXTS))} = {value}" if what < 0.85
        else lines[chance.randrange(len(lines))] if lines else ""
    )  # fmt: skip
    lines[at : at + chance.choice((0, 1, 1))] = [new]
    return "\n".join(lines).encode("utf-8", "surrogatepass")
