"""Witnesses, certificates, places among the references and refinements for the stored analyses of `sample`."""

import random
from typing import Any

NETWORKS = ("a", "b", "c", "d")
COMPARED = (
    "negative_share",
    "logabsdet_per_dimension",
    "sigma_min",
    "inverse_critical_step",
    "residual_ratio",
    "inverse_consistency",
)
REFINEMENTS = (("euler", 2), ("euler", 4), ("euler", 8), ("rk4", 1))
ORTHANT = "the non-negative orthant (both points could come out of a ReLU)"


def add_evidence(result: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Add all four optional parts, and the new quantities, to a result in place; every unit that was run has them."""
    chance = random.Random(seed)  # noqa: S311
    parts: dict[str, list[dict[str, Any]]] = {
        key: [] for key in ("witnesses", "certificates", "references", "refinement")
    }
    states = {v["unit"]: v["state"] for v in result["verdicts"] if v["map"] == "sum"}
    names = result["inputs"]["names"]
    _refine(parts["refinement"], None, len(names), chance)
    for unit in result["units"]:
        if not unit["done"]:
            continue
        name = unit["name"]
        if states[name] == "not_injective_proven":
            parts["witnesses"].append(_witness(unit, "sum", names, chance))
        parts["witnesses"].append(_witness(unit, "unit", names, chance))
        parts["certificates"].append(_bound(name, holds=states[name] == "certified_injective", chance=chance))
        parts["certificates"] += [
            _ball(name, image, norm, chance) for norm in ("l2", "linf") for image in names[:3]
        ]
        parts["references"].append(_place(name, chance))
        _refine(parts["refinement"], name, len(names), chance)
        _invert(result, name, names, chance)
    result.update(parts)
    return result


_PREMISES = [
    {"statement": "norm of I − XJ, at most", "bound": 4.5e-9, "to_be_below": 1.0},
    {"statement": "norm of the approximate inverse X of J, at most", "bound": 13.8},
]


def _witness(unit: dict[str, Any], which: str, names: list[str], chance: random.Random) -> dict[str, Any]:
    distance = chance.uniform(0.05, 4.0)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in unit["name"])
    return {
        "unit": unit["name"],
        "map": which,
        "kind": "fold" if which == "sum" else "clipped coordinate",
        "is_proof": unit["index"] % 5 != 4,
        **({"premises": _PREMISES} if unit["index"] % 2 == 0 else {}),  # older results have none
        "distance": distance,
        "relative_distance": distance / 40,
        "gap": distance * 10 ** chance.uniform(-15, -12),
        "domain": ORTHANT,
        "in_orthant": unit["index"] % 2 == 0,
        "checked_by": ["the unit cut out of the network", "the network's own module"],
        "file": f"{safe}.{which}.npz",
        "inputs": names[:2] if which == "sum" else names[:1],
        "nearest_input": names[0],
        "first_distance": distance / 900,
        **(
            {
                "fold_distance": chance.uniform(0.01, 0.3),
                "first_relative_distance": distance / 36_000,
                "grown_relative_distance": distance / 35,
                "determinants_computed": 31,
                "growth_ended": None,
            }
            if which == "sum"
            else {"input_distance": 1e-3}
        ),
    }


def _bound(name: str, *, holds: bool, chance: random.Random) -> dict[str, Any]:
    upper = chance.uniform(0.6, 0.95) if holds else chance.uniform(4, 60)
    return {
        "unit": name,
        "scope": "global",
        "input": None,
        "holds": holds,
        "proof": "Lip(F) < 1 (Banach)" if holds else None,
        "lipschitz_upper": upper,
        "lipschitz_lower": upper / chance.uniform(1.1, 9),
        "inverse_lipschitz": 1 / (1 - upper) if holds else None,
        "layers": [
            {"name": "conv1 · bn1", "upper": upper / 2, "lower": upper / 2.2, "method": "torus"},
            {"name": "relu", "upper": 1.0, "lower": None, "method": "known constant"},
            {"name": "conv2 · bn2", "upper": 2.0, "lower": 1.7, "method": "Gram iteration"},
        ],
        "reason": None,
        "arithmetic": "rigorous: the rounding of the bound is bounded",
    }


def _ball(name: str, image: str, norm: str, chance: random.Random) -> dict[str, Any]:
    radius = 10 ** chance.uniform(-3, -0.5)
    return {
        "unit": name,
        "scope": "local",
        "input": image,
        "holds": True,
        "norm": norm,
        "radius": radius,
        "classical_radius": radius / chance.uniform(1e3, 1e5),
        "units": 212,
        "criterion": "‖K‖₂ < 1",
        "limited_by": "the criterion",
        "arithmetic": "numerical",
    }


def _place(name: str, chance: random.Random) -> dict[str, Any]:
    distances = {network: round(chance.uniform(0.5, 10), 4) for network in NETWORKS}
    summaries = {
        "negative_share": chance.choice((0.0, 0.0, 0.25)),
        "logabsdet_per_dimension": chance.gauss(-0.02, 0.05),
        "sigma_min": 10 ** chance.uniform(-4, -0.5),
        "inverse_critical_step": chance.uniform(0, 1.6),
        "residual_ratio": chance.uniform(0.2, 1.4),
        "inverse_consistency": 10 ** chance.uniform(-2, 0),
    }
    return {
        "unit": name,
        "nearest": min(distances, key=lambda network: distances[network]),
        "percentiles": {
            network: {key: round(chance.uniform(0, 100), 2) for key in COMPARED} for network in NETWORKS
        },
        "distances": distances,
        "summaries": summaries,
    }


def _refine(into: list[dict[str, Any]], unit: str | None, inputs: int, chance: random.Random) -> None:
    for scheme, steps in REFINEMENTS:
        agreement = chance.uniform(0.4, 1) if unit else 1.1 / steps if steps > 1 else 0.2
        into.append(
            {
                "unit": unit,
                "scheme": scheme,
                "steps": steps,
                "inputs": inputs,
                "agreement": agreement,
                "logit_change": chance.uniform(0.01, 1.2),
                "accuracy": 0.8 * agreement,
                "accuracy_before": 0.8,
            }
        )


def _invert(result: dict[str, Any], unit: str, names: list[str], chance: random.Random) -> None:
    for position, image in enumerate(names):
        for key, low, high in (
            ("inverse_error_euler", -2, 0.5),
            ("inverse_error_fixed_point", -13, -9),
            ("inverse_error_exact", -15, -12),
        ):
            row = {"unit": unit, "input": image, "quantity": key, "dtype": "float64"}
            if key.endswith("fixed_point") and position % 2:
                row |= {
                    "value": None,
                    "evidence": "failed",
                    "status": "not_converged",
                    "reason": "it diverged",
                }
            else:
                row |= {"value": 10 ** chance.uniform(low, high), "evidence": "exact", "status": "ok"}
            result["measurements"].append(row)
