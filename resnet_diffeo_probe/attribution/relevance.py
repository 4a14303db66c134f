"""Whether the units that fold are the ones that matter: attribution beside the verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from scipy import stats

from resnet_diffeo_probe.attribution.agreement import rank_correlation

__all__ = ["FEWEST_INPUTS", "Fold", "Relevance", "relevance"]

#: With fewer inputs no sign test can end below 5 %: (1/2)⁵ is 3 %.
FEWEST_INPUTS = 5
_LEVEL = 0.05


class Fold(StrEnum):
    """What is known of a unit's sum map, as far as this comparison needs it."""

    PROVEN = "proven"  # not injective, with a proof
    NEGATIVE = "negative"  # a negative determinant at some input, which by itself proves nothing
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Relevance:
    """What the folding units carry of the prediction, against their number.

    Attributes:
        state: `more` or `less` than their number, by conductance and by ablation; `neither`; `unknown`.
        sentence: the same for people, with the numbers.
        folding: names of the units with a proven fold or a negative determinant.
        compared: names of all units that were judged.
        by_number: share of the former among the latter; None without any.
        by_conductance: their share of the sum of |branch conductance|, at each input that counts.
        by_ablation: their share of the sum of |drop of the logit|, likewise.
        by_frequency: over the units, the rank correlation of the share of inputs with a negative determinant and
            |branch conductance|, at each input that counts and has one.
    """

    state: Literal["more", "less", "neither", "unknown"]
    sentence: str
    folding: tuple[str, ...]
    compared: tuple[str, ...]
    by_number: float | None
    by_conductance: tuple[float, ...]
    by_ablation: tuple[float, ...]
    by_frequency: tuple[float, ...]


def relevance(
    folds: Mapping[str, Fold],
    negative_shares: Mapping[str, float],
    conductances: Sequence[Mapping[str, float]],
    drops: Sequence[Mapping[str, float | None]],
    *,
    left_out: int = 0,
) -> Relevance:
    """Compare what folding units carry with what their number would give.

    Args:
        folds: of each judged unit.
        negative_shares: of each judged unit, the share of inputs at which its determinant is negative.
        conductances: at each input whose attribution is complete, the branch conductance of each unit.
        drops: at each input, the drop of the logit without each branch; None where it is not finite.
        left_out: how many inputs were left out because their attribution is not complete.

    Returns:
        The comparison; `unknown` with a reason where there are too few inputs, or nothing to compare with.
    """
    folding = tuple(name for name, fold in folds.items() if fold is not Fold.NOT_SEEN)
    compared = tuple(folds)
    by_number = len(folding) / len(compared) if compared else None
    carried = _shares(folding, compared, conductances)
    lost = _shares(folding, compared, drops)
    ranks = [
        rank_correlation([negative_shares[name] for name in compared], [abs(at[name]) for name in compared])
        for at in conductances
    ]
    graded = tuple(rank for rank in ranks if rank is not None)
    state: Literal["more", "less", "neither", "unknown"] = "unknown"
    reason = _why_unknown(folding, compared, len(carried), left_out)
    if by_number is None or reason is not None:
        sentence = f"Not known whether the units that fold are the ones that matter: {reason}."
    else:
        accounts = {_direction(shares, by_number) for shares in (carried, lost)}
        state = accounts.pop() if len(accounts) == 1 else "neither"
        sentence = _sentence(state, folds, folding, by_number, carried, lost)
    if len(graded) >= FEWEST_INPUTS:
        sentence += f" {_frequency(graded, len(compared))}"
    return Relevance(state, sentence, folding, compared, by_number, carried, lost, graded)


def _shares(
    folding: Sequence[str], compared: Sequence[str], values: Sequence[Mapping[str, float | None]]
) -> tuple[float, ...]:
    shares = []
    for at_input in values:
        sizes = {name: at_input[name] for name in compared}
        known = {name: abs(value) for name, value in sizes.items() if value is not None}
        total = sum(known.values())
        if len(known) == len(sizes) and total > 0:
            shares.append(sum(known[name] for name in folding) / total)
    return tuple(shares)


def _why_unknown(folding: Sequence[str], compared: Sequence[str], inputs: int, left_out: int) -> str | None:
    if not compared:
        return "no unit was judged"
    if not folding:
        return f"no fold was seen in the {_units(len(compared))} that {_were(len(compared))} judged"
    if len(folding) == len(compared):
        return (
            f"a fold was seen in {'the one unit' if len(compared) == 1 else f'all {len(compared)} units'} that "
            f"{_were(len(compared))} judged, so there is none to compare with"
        )
    if inputs < FEWEST_INPUTS:
        reason = f"the attribution is complete at {_inputs(inputs)}, and {FEWEST_INPUTS} are needed"
        return reason + (f" ({_inputs(left_out)} left out for its completeness error)" if left_out else "")
    return None


def _direction(shares: Sequence[float], by_number: float) -> Literal["more", "less", "neither"]:
    """Sign test over the inputs, at 5 % on either side."""
    above = sum(share > by_number for share in shares)
    below = sum(share < by_number for share in shares)
    if above + below == 0:
        return "neither"
    if stats.binomtest(above, above + below, alternative="greater").pvalue < _LEVEL:
        return "more"
    return (
        "less" if stats.binomtest(below, above + below, alternative="greater").pvalue < _LEVEL else "neither"
    )


def _sentence(
    state: str,
    folds: Mapping[str, Fold],
    folding: Sequence[str],
    by_number: float,
    carried: Sequence[float],
    lost: Sequence[float],
) -> str:
    proven = sum(folds[name] is Fold.PROVEN for name in folding)
    said = {
        "more": "The units that fold carry more of the prediction than their number would give",
        "less": "The units that fold carry less of the prediction than their number would give",
        "neither": "It cannot be said that the units that fold carry more, or less, of the prediction than the others",
    }[state]
    kinds = f"{proven} proven" + (
        f", {len(folding) - proven} by a negative sign" if proven < len(folding) else ""
    )
    parts = [_account("conductance", carried, by_number)]
    parts += [_account("ablation", lost, by_number)] if lost else ["ablation gave no finite answer"]
    return (
        f"{said}: they are {len(folding)} of {len(folds)} units ({by_number:.0%}; {kinds}); {'; '.join(parts)}. "
        "This compares units of one network, and does not say that the folds are the reason."
    )


def _frequency(graded: Sequence[float], units: int) -> str:
    """Say whether units with a negative determinant at more inputs carry more."""
    above = sum(rank > 0 for rank in graded)
    median = f"{statistics.median(graded):.2f}".replace("-", "\u2212")
    said = {
        "more": "Units that are negative at more inputs carry more",
        "less": "Units that are negative at more inputs carry less",
        "neither": "Whether units that are negative at more inputs carry more cannot be said",
    }[_direction(graded, 0.0)]
    return (
        f"{said}: the rank correlation over {units} units is {median} (median), "
        f"above zero at {above} of {_inputs(len(graded))}."
    )


def _account(name: str, shares: Sequence[float], by_number: float) -> str:
    above = sum(share > by_number for share in shares)
    return (
        f"by {name} they carry {statistics.median(shares):.0%} (median), "
        f"more than their number at {above} of {_inputs(len(shares))}"
    )


def _inputs(count: int) -> str:
    return f"{count} input{'' if count == 1 else 's'}"


def _units(count: int) -> str:
    return f"{count} unit{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
