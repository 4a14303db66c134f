"""The six verdicts as a reader meets them: icon, word, meaning, and the order of concern."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAPS", "STATES", "StateWords"]


@dataclass(frozen=True, slots=True)
class StateWords:
    """One verdict state.

    Attributes:
        key: its name in `result.json`.
        icon: one character that never stands without the word or a text alternative.
        word: the verdict in words.
        meaning: one sentence for the legend.
        concern: 0 is what a reader should look at first.
    """

    key: str
    icon: str
    word: str
    meaning: str
    concern: int


#: What the two maps of a unit are called, and what they are.
MAPS = {
    "sum": ("Sum map", "x + F(x), before the activation that follows the addition"),
    "unit": ("Whole unit", "the unit's output, after the activation that follows the addition"),
}

_ALL = (
    StateWords(
        "not_injective_proven",
        "✕",
        "Not injective (proven)",
        "Two inputs have certain determinants of opposite signs, or a pair x₁ ≠ x₂ has one output.",
        0,
    ),
    StateWords(
        "undetermined",
        "?",
        "Undetermined",
        "A sign is within rounding error of zero; it is not guessed.",
        1,
    ),
    StateWords(
        "no_violation_found",
        "○",
        "No violation found",
        "Neither a proof nor a certificate. It speaks of the inputs that were looked at, not of all.",
        2,
    ),
    StateWords(
        "not_run", "!", "Not run", "There is no result; the reason and what to do stand beside it.", 3
    ),
    StateWords(
        "certified_injective",
        "✓",
        "Certified injective",
        "A certificate holds on the domain that stands beside it.",
        4,
    ),
    StateWords(
        "not_applicable",
        "–",
        "Not applicable",
        "The unit is no step x + F(x): it changes the dimension, or its shortcut is not the identity.",
        5,
    ),
)

#: By key, in order of concern.
STATES: dict[str, StateWords] = {state.key: state for state in _ALL}
