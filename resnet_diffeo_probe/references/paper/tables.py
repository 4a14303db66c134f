"""The paper's rows and ours beside them, as numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from resnet_diffeo_probe.flows.fields.architecture import NETWORKS

__all__ = ["PAPER_ROWS", "network_row", "steps_table", "summary"]

#: Figure 4's caption; the paper gives one training of each network.
PAPER_ROWS = {
    "a": {"determinant_least": -5.59, "determinant_greatest": 6.34},
    "b": {"determinant_least": -1.41, "determinant_greatest": 2.27},
    "c": {"determinant_least": 0.55, "determinant_greatest": 5.92},
    "d": {"determinant_least": 0.30, "determinant_greatest": 1.44},
}

#: Keys of a whole map's measures that are summed up over the good seeds.
SUMMED = (
    "determinant_least",
    "determinant_greatest",
    "torn_share_of_square",
    "boundary_length",
    "boundary_curvature",
    "distance_to_boundary_least",
    "distance_to_boundary_median",
    "inverse_consistency_on_data",
    "inverse_consistency_on_square",
    "group_error_on_data",
)


def summary(values: list[float]) -> dict[str, float] | None:
    """Return median, least and greatest; None without values."""
    if not values:
        return None
    return {"median": float(np.median(values)), "least": min(values), "greatest": max(values)}


def network_row(letter: str, reference: dict[str, Any]) -> dict[str, Any]:
    """Return one network's row of the comparison with the paper.

    Args:
        letter: a to d.
        reference: the network's object in the references.

    Returns:
        JSON types: counts, `paper` with figure 4's numbers, summaries over the good seeds, verdicts of all seeds.
    """
    good = set(reference["good_seeds"])
    maps = [m for m in reference["maps"] if m["seed"] in good]
    row: dict[str, Any] = {
        "network": letter,
        "title": NETWORKS[letter].title,
        "seeds": len(reference["seeds"]),
        "above_99_percent": len(good),
        "paper": PAPER_ROWS[letter],
        "negative_somewhere": sum(m["determinant_least"] < 0 for m in maps),
        "negative_everywhere": sum(m["determinant_greatest"] < 0 for m in maps),
        "verdicts_of_good_seeds": dict(Counter(m["certificate"]["verdict"] for m in maps)),
        "verdicts_of_other_seeds": dict(
            Counter(m["certificate"]["verdict"] for m in reference["maps"] if m["seed"] not in good)
        ),
    }
    for key in SUMMED:
        row[key] = summary([m[key] for m in maps if m[key] is not None])
    sizes = list(maps[0]["accuracy_under_attack"]) if maps else []
    row["accuracy_under_attack"] = {
        size: summary([m["accuracy_under_attack"][size] for m in maps]) for size in sizes
    }
    return row


def steps_table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up study 1 over the seeds: one row a network, scheme and number of steps."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["scheme"], row["steps"]), []).append(row)
    return [
        {
            "network": network,
            "scheme": scheme,
            "steps": steps,
            "seeds": len(members),
            "accuracy": summary([m["accuracy"] for m in members]),
            "agreement": summary([m["agreement"] for m in members]),
            "determinant_least": summary(
                [m["determinant_least"] for m in members if m["determinant_least"] is not None]
            ),
        }
        for (network, scheme, steps), members in groups.items()
    ]
