"""`torch.load` without code: PyTorch's restricted reader, behind a check of what would keep it busy for years."""

from __future__ import annotations

import io
import pickletools
import warnings
from typing import IO, Any

import torch

__all__ = ["load_restricted"]

# Shapes and storages are tuples in tuples; each level of (t, t) doubles the time to hash or print the outermost.
_DEEPEST = 16
# A network of a thousand layers takes fifty thousand; two million take seconds.
_MOST_STEPS = 2_000_000
# What a file of before PyTorch 1.6 begins with: magic number, version, system, content, names of storages.
_LEGACY_PICKLES = 5
_ZIP = b"PK\x03\x04"
_MARK = -1


def load_restricted(stream: IO[bytes]) -> Any:
    """Return what a PyTorch file holds, on the CPU; no code of the file is run.

    Args:
        stream: the file, opened for reading and at its beginning. A path would not do: torch goes by its suffix.

    Raises:
        pickle.UnpicklingError: the file wants to call more than the restricted reader allows.
        Exception: it is damaged, which can fail anywhere inside the reader, or built to keep it busy.
    """
    _check_pickles(stream)
    stream.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about storages' classes: nothing a user of a file can act on
        return torch.load(stream, map_location="cpu", weights_only=True)


def _check_pickles(stream: IO[bytes]) -> None:
    zipped = stream.read(len(_ZIP)) == _ZIP
    stream.seek(0)
    if zipped:  # torch's own reader, since a file can be built that Python's zipfile reads differently
        stream = io.BytesIO(torch._C.PyTorchFileReader(stream).get_record("data.pkl"))
    for _ in range(1 if zipped else _LEGACY_PICKLES):
        if _tuple_depth(stream) > _DEEPEST:
            raise ValueError(f"tuples in tuples, more than {_DEEPEST} levels: built to keep its reader busy")


def _tuple_depth(stream: IO[bytes]) -> int:
    """Return how deep tuples are nested in one pickle, which is taken apart without being run."""
    stack: list[
        int
    ] = []  # of each value, the levels of tuples in it; lists and dictionaries cannot be hashed
    memo: dict[Any, int] = {}
    deepest = 0
    for step, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if step > _MOST_STEPS:
            raise ValueError(f"a pickle of more than {_MOST_STEPS:,} steps: built to keep its reader busy")
        name = operation.name
        if name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            stack.append(memo.get(argument, 0))
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(_MARK)
        else:
            taken = _take(stack, operation)
            depth = 1 + max(taken, default=0) if "TUPLE" in name else 0
            deepest = max(deepest, depth)
            stack.extend(depth for _ in operation.stack_after)
    return deepest


def _take(stack: list[int], operation: pickletools.OpcodeInfo) -> list[int]:
    """Remove what an operation consumes and return it."""
    taken: list[int] = []
    fixed = len(operation.stack_before)
    if pickletools.stackslice in operation.stack_before:
        while stack and (value := stack.pop()) != _MARK:
            taken.append(value)
        fixed -= 2  # the mark and what lies above it
    for _ in range(fixed):
        taken.append(stack.pop())
    return taken
