"""What the paper says of its four networks, each sentence beside the numbers that support or contradict it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["claims"]

Row = dict[str, Any]


def claims(setting: str, networks: dict[str, Row], study: list[Row]) -> list[dict[str, str]]:
    """Return the paper's claims with their outcome under one setting.

    Args:
        setting: its name, for the sentences.
        networks: the setting's references, by letter.
        study: rows of study 1 for that setting.

    Returns:
        JSON objects with `claim`, `setting`, `outcome` (reproduced, partly, not reproduced) and `numbers`.
    """
    good = {letter: _good_maps(network) for letter, network in networks.items()}
    found = [
        _sign("(a) folds: its Jacobian is negative somewhere (Jmin = -5.59)", good["a"], negative=True),
        _sign("(b) folds: its Jacobian is negative somewhere (Jmin = -1.41)", good["b"], negative=True),
        _sign("(c) does not fold (Jmin = 0.55)", good["c"], negative=False),
        _sign("(d) does not fold (Jmin = 0.30)", good["d"], negative=False),
        _narrowest(good),
        _smoother(good),
        _consistency(good),
        _accuracy(networks),
    ]
    if study:
        found.append(_own_flow(study))
    return [{"setting": setting, **row} for row in found]


def _good_maps(network: Row) -> dict[int, Row]:
    good = set(network["good_seeds"])
    return {m["seed"]: m for m in network["maps"] if m["seed"] in good}


def _outcome(share: float) -> str:
    """Name a share of seeds: at least nine in ten, at least one in ten, fewer."""
    if share >= 0.9:
        return "reproduced"
    return "partly" if share >= 0.1 else "not reproduced"


def _sign(claim: str, maps: dict[int, Row], *, negative: bool) -> dict[str, str]:
    below = sum(m["determinant_least"] < 0 for m in maps.values())
    verdicts = [m["certificate"]["verdict"] for m in maps.values()]
    proven = sum(v == "diffeomorphism onto its image" for v in verdicts)
    refuted = sum(v == "not injective" for v in verdicts)
    middle = np.median([m["determinant_least"] for m in maps.values()])
    share = below / len(maps) if negative else 1 - below / len(maps)
    numbers = (
        f"negative somewhere in {below} of {len(maps)} seeds, median Jmin {middle:.3g}; "
        f"proven on the square: {proven} diffeomorphisms, {refuted} not injective"
    )
    return {"claim": claim, "outcome": _outcome(share), "numbers": numbers}


def _range(m: Row) -> float:
    least, greatest = m["determinant_least"], m["determinant_greatest"]
    return math.log2(greatest / least) if least > 0 else math.inf


def _narrowest(good: dict[str, dict[int, Row]]) -> dict[str, str]:
    seeds = set.intersection(*(set(maps) for maps in good.values()))
    wins = sum(
        min(good, key=lambda letter, seed=seed: _range(good[letter][seed])) == "d"  # type: ignore[misc]
        for seed in seeds
    )
    middle = {letter: np.median([_range(m) for m in maps.values()]) for letter, maps in good.items()}
    listed = ", ".join(f"({letter}) {value:.2f}" for letter, value in middle.items())
    return {
        "claim": "(d) is the most regular: its Jacobian has the narrowest range",
        "outcome": _outcome(wins / len(seeds)),
        "numbers": f"narrowest log2(Jmax / Jmin) in {wins} of {len(seeds)} seeds; medians {listed} "
        "(inf where the median seed folds)",
    }


def _smoother(good: dict[str, dict[int, Row]]) -> dict[str, str]:
    middle = {
        letter: np.median([m["boundary_curvature"] for m in maps.values()]) for letter, maps in good.items()
    }
    below = [letter for letter in "bcd" if middle[letter] < middle["a"]]
    listed = ", ".join(f"({letter}) {value:.2f}" for letter, value in middle.items())
    return {
        "claim": "shared weights and inverse consistency give smoother decision boundaries than (a)",
        "outcome": {0: "not reproduced", 3: "reproduced"}.get(len(below), "partly"),
        "numbers": f"median total curvature in radians: {listed}; below (a): {', '.join(below) or 'none'}",
    }


def _consistency(good: dict[str, dict[int, Row]]) -> dict[str, str]:
    middle = {
        letter: np.median([_or_infinite(m["inverse_consistency_on_square"]) for m in maps.values()])
        for letter, maps in good.items()
    }
    best = min(middle, key=lambda letter: middle[letter])
    listed = ", ".join(f"({letter}) {value:.2g}" for letter, value in middle.items())
    return {
        "claim": "the domain-driven penalty makes (d) consistent off the data, too",
        "outcome": "reproduced" if best == "d" else "not reproduced",
        "numbers": f"median relative error of the backward Euler inverse on the square: {listed}",
    }


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def _accuracy(networks: dict[str, Row]) -> dict[str, str]:
    counts = {
        letter: len(network["good_seeds"]) / len(network["seeds"]) for letter, network in networks.items()
    }
    listed = ", ".join(
        f"({letter}) {len(network['good_seeds'])} of {len(network['seeds'])}"
        for letter, network in networks.items()
    )
    return {
        "claim": "all networks classify above 99 %",
        "outcome": _outcome(min(counts.values())),
        "numbers": f"seeds above 99 % held-out accuracy: {listed}",
    }


def _own_flow(study: list[Row]) -> dict[str, str]:
    kept = {}
    for letter in "abcd":
        fine = [r for r in study if r["network"] == letter and r["scheme"] == "adaptive"]
        kept[letter] = (
            sum(r["agreement"] > 0.99 for r in fine),
            len(fine),
            min(r["agreement"] for r in fine),
        )
    penalised = min(kept[k][0] / kept[k][1] for k in "cd")
    others = max(kept[k][0] / kept[k][1] for k in "ab")
    listed = ", ".join(f"({k}) {n} of {total}, worst {worst:.2f}" for k, (n, total, worst) in kept.items())
    return {
        "claim": "the penalty is what makes a network comply with its own exponential (section 5.1)",
        "outcome": "not reproduced" if penalised < 0.9 else ("partly" if others >= 0.5 else "reproduced"),
        "numbers": "seeds that give the exact flow's answer on more than 99 % of held-out points: " + listed,
    }
