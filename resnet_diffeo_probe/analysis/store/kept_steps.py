"""What follows the measuring, kept part by part: found again by a run that goes on, if it rests on the same things.

What comes back from the store may have been edited by anyone. A part is used only if its digest, everything it rests
on and its own check agree; otherwise it is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from resnet_diffeo_probe.analysis.events import Events
from resnet_diffeo_probe.analysis.result.schema import ResultError
from resnet_diffeo_probe.analysis.store.fingerprint import input_fingerprint
from resnet_diffeo_probe.analysis.store.store import KeptStep, Store

__all__ = ["Content", "KeptSteps", "StepReuse", "UnusableError", "basis_of"]

Result = TypeVar("Result")

# Bytes of one part. The proofs of a unit at ten thousand inputs take a tenth of it; larger parts are computed again.
_MOST_BYTES = 1 << 28


class UnusableError(Exception):
    """What was kept of a part cannot be used; the message says why, for people."""


@dataclass(frozen=True, eq=False)
class Content:
    """A part as it is kept.

    Attributes:
        json: what JSON can hold; floats, NaN and infinities included, come back to the bit.
        arrays: tensors by name, kept to the bit.
    """

    json: Any
    arrays: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class StepReuse:
    """Parts of the steps, by where they come from.

    Attributes:
        reused: step -> how many of its parts were computed by an earlier run.
        recomputed: step -> how many were kept and could not be used.
    """

    reused: Counter[str] = field(default_factory=Counter)
    recomputed: Counter[str] = field(default_factory=Counter)


class KeptSteps:
    """Finds and keeps parts of steps. It is used from the thread that began the store.

    Args:
        store: begun; None: nothing is found and nothing kept.
        events: told of each part that is reused or recomputed; None: nobody is.
    """

    def __init__(self, store: Store | None, events: Events | None = None) -> None:
        self.reuse = StepReuse()
        self._store = store
        self._events = Events() if events is None else events

    def find(self, step: str, part: str, basis: str, read: Callable[[Content], Result]) -> Result | None:
        """Return a part that an earlier run computed, None where there is none that can be used.

        Args:
            step: its name.
            part: of the step: a unit, an input.
            basis: of `basis_of`.
            read: makes the part from its content, and checks it.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._store is None:
            return None
        kept = self._store.find_step(step, part, max_bytes=_MOST_BYTES)
        if kept is None:
            return None
        try:
            found = _read(step, part, basis, kept, read)
        except UnusableError as error:
            self.reuse.recomputed[step] += 1
            self._events.recomputed(step, part, str(error))
            return None
        self.reuse.reused[step] += 1
        self._events.reused(step, part)
        return found

    def keep(self, step: str, part: str, basis: str, content: Content) -> None:
        """Commit a part; one that is too large for a row is not kept.

        Raises:
            StoreError: it cannot be written.
        """
        if self._store is None:
            return
        text, arrays = _text(content.json), save(content.arrays)
        if len(text) + len(arrays) <= _MOST_BYTES:
            digest = _digest(step, part, basis, text, arrays)
            self._store.keep_step(step, part, KeptStep(basis, text, arrays, digest))

    def take(
        self,
        step: str,
        part: str,
        basis: str,
        compute: Callable[[], Any],
        check: Callable[[Any], object],
        *,
        keeps: Callable[[], bool] = lambda: True,
    ) -> Any:
        """Return a part that is JSON, found or else computed and kept.

        Args:
            step: its name.
            part: of the step.
            basis: of `basis_of`.
            compute: makes the part.
            check: raises an error where what was found is no such part.
            keeps: asked after computing: whether the part is worth keeping.

        Raises:
            StoreError: the store cannot be read or written.
        """

        def read(content: Content) -> tuple[Any]:
            check(content.json)
            return (content.json,)

        if (found := self.find(step, part, basis, read)) is not None:
            return found[0]
        computed = compute()
        if keeps():
            self.keep(step, part, basis, Content(computed))
        # as it would be found again: a list where there was a tuple
        return json.loads(_text(computed))


def basis_of(**rests_on: Any) -> str:
    """Return a fingerprint of everything that a part rests on beside the store's conditions.

    Args:
        rests_on: JSON values and tensors by name; a tensor counts with its dtype, shape and bytes.
    """
    plain = {
        name: input_fingerprint(value) if isinstance(value, Tensor) else value
        for name, value in rests_on.items()
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _read(step: str, part: str, basis: str, kept: KeptStep, read: Callable[[Content], Result]) -> Result:
    if kept.basis != basis:
        raise UnusableError("what it rests on has changed")
    if kept.sha256 != _digest(step, part, kept.basis, kept.content, kept.arrays):
        raise UnusableError("it was changed by another program, or is damaged")
    try:
        return read(Content(json.loads(kept.content), load(kept.arrays)))
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,  # of torch, for tensors that do not fit
        MemoryError,
        ResultError,
        SafetensorError,
    ) as error:
        raise UnusableError(f"it makes no sense: {type(error).__name__}") from error


def _text(value: Any) -> str:
    # the order of keys is that of the result
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _digest(step: str, part: str, basis: str, text: str, arrays: bytes) -> str:
    digest = hashlib.sha256()
    for piece in (step, part, basis, text):
        raw = piece.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    digest.update(arrays)
    return digest.hexdigest()
