"""What the numbers of one or several measures mean for the question whether a unit is a bijection."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Criterion"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion, explained.

    Attributes:
        key: anchor in the page (`criterion-<key>`).
        quantities: the measured quantities that it speaks of, the most telling first.
        title: its name.
        definition: what is measured (HTML).
        threshold: the number that separates, as it was used.
        origin: where that number comes from.
        normal: when a value beyond it is nothing to worry about.
        causes: the common causes.
        advice: what to do.
        after: key of the criterion behind which the page has it; None: where its first measure stands in the registry.
    """

    key: str
    quantities: tuple[str, ...]
    title: str
    definition: Markup
    threshold: str
    origin: str
    normal: str
    causes: str
    advice: str
    after: str | None = None
