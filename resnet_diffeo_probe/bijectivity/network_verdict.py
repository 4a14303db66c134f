"""A network's verdict: what those on its units come to, for each map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from resnet_diffeo_probe.bijectivity.state import State, Verdict

__all__ = ["network_verdicts"]


def network_verdicts(verdicts: Sequence[Verdict]) -> tuple[Verdict, Verdict]:
    """Summarise the verdicts on a network's units, for each map.

    The summary speaks of the units one by one, not of their composite.
    """
    return _summarise([v for v in verdicts if v.map == "sum"], "sum"), _summarise(
        [v for v in verdicts if v.map == "unit"], "unit"
    )


# The summary's state is the first of these that a unit is in.
_PRECEDENCE = (
    State.NOT_INJECTIVE_PROVEN,
    State.NOT_RUN,
    State.UNDETERMINED,
    State.NO_VIOLATION_FOUND,
    State.CERTIFIED_INJECTIVE,
    State.NOT_APPLICABLE,
)

_WORDS = {
    State.CERTIFIED_INJECTIVE: "certified injective",
    State.NOT_INJECTIVE_PROVEN: "proven not injective",
    State.NO_VIOLATION_FOUND: "without a violation found",
    State.UNDETERMINED: "undetermined",
    State.NOT_RUN: "not run",
}


def _summarise(verdicts: Sequence[Verdict], which: str) -> Verdict:
    applicable = [v for v in verdicts if v.state is not State.NOT_APPLICABLE]
    tally = Counter(v.state for v in applicable)
    state = next((s for s in _PRECEDENCE if tally[s]), State.NOT_APPLICABLE)
    if not applicable:
        sentence = (
            f"None of the {len(verdicts)} residual units is x + F(x) with an F that keeps the dimension."
        )
    else:
        parts = [f"{tally[s]} {_WORDS[s]}" for s in _PRECEDENCE if tally[s]]
        units = "unit that keeps" if len(applicable) == 1 else "units that keep"
        maps = "sum map x + F(x)" if which == "sum" else "whole unit, its last activation included"
        sentence = f"{len(applicable)} {units} the dimension, {maps}: {', '.join(parts)}."
        if changing := len(verdicts) - len(applicable):
            sentence += f" {changing} more {'is' if changing == 1 else 'are'} no candidate for a bijection."
    return Verdict(None, which, state, sentence)
