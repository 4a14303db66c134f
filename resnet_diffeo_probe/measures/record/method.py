"""What the methods text says of measures that were found the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MethodSentence"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodSentence:
    """A sentence of the methods text, there where a measure that has it was run.

    Places in braces are works and formulas that `report/sections/methods.py` has by these names.

    Attributes:
        key: its name.
        paragraph: that it stands in.
        direct: where all values come from direct methods.
        iterated: where some are estimates; None: the same.
        after: key of the one behind which it stands; None: where its first measure stands in the registry.
    """

    key: str
    paragraph: Literal["spectrum", "estimates"]
    direct: str
    iterated: str | None = None
    after: str | None = None
