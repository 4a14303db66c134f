"""The steps after the measuring by name: in words, in `result.json`, in the store and in the report.

Their order is that in which they are taken, of their keys in a result, and of what an interrupt leaves out. What each
does stands in `analysis.steps`; who only reads a result needs no more than this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "ATTRIBUTION",
    "PAIR",
    "PICTURES",
    "PROOFS",
    "PULLBACK",
    "REFERENCES",
    "REFINEMENT",
    "STEP_NAMES",
    "StepNames",
    "sections_in_order",
]


@dataclass(frozen=True)
class StepNames:
    """What one step is called.

    Attributes:
        words: for people: in the result's `left_out`, on the screen.
        keys: of the result, in order.
        kept: under which its parts stand in the store; files of users hold these names.
        section: the id of the section of the report that shows it; None: none.
        after: the id of the section that this one follows; None: `section` is that of another step.
    """

    words: str
    keys: tuple[str, ...]
    kept: tuple[str, ...] = ()
    section: str | None = None
    after: str | None = None


PROOFS = StepNames("proofs", ("witnesses", "certificates"), ("proofs",), "proofs", after="units")
REFERENCES = StepNames("references", ("references",), (), "references", after="pullback")
REFINEMENT = StepNames(
    "refinement test", ("refinement",), ("refinement test",), "refinement", after="references"
)
PAIR = StepNames("pair of images", ("pixel_pair",), ("pair of images",), "proofs")
PULLBACK = StepNames("pullback", ("pullback",), ("pullback",), "pullback", after="depth")
ATTRIBUTION = StepNames(
    "attribution", ("attribution",), ("attribution", "attribution maps"), "attribution", after="refinement"
)
PICTURES = StepNames("pictures", ("pictures",), ("maps",), "where", after="proofs")

#: Every step.
STEP_NAMES = (PROOFS, REFERENCES, REFINEMENT, PAIR, PULLBACK, ATTRIBUTION, PICTURES)


def sections_in_order(sections: Iterable[str], steps: Iterable[StepNames] = STEP_NAMES) -> tuple[str, ...]:
    """Return the ids of the sections of a page, those of the steps put among the others.

    Args:
        sections: those of no step, in order.
        steps: whose sections follow the ones that they name.

    Raises:
        ValueError: a step's section is to follow one that is not there.
    """
    order = list(sections)
    waiting = [step for step in steps if step.after is not None]
    while waiting:
        placed = next((step for step in waiting if step.after in order), None)
        if placed is None or placed.section is None:
            raise ValueError(
                f"there is no section {waiting[0].after!r} that {waiting[0].section!r} could follow"
            )
        order.insert(order.index(str(placed.after)) + 1, placed.section)
        waiting.remove(placed)
    return tuple(order)
