"""Gather the numbers of the paper report into one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.studies.step_study import step_rows
from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.paper.claims import claims
from resnet_diffeo_probe.references.paper.exponential import composition_errors
from resnet_diffeo_probe.references.paper.tables import network_row, steps_table
from resnet_diffeo_probe.references.paper.untrained import untrained_signs
from resnet_diffeo_probe.references.weights import shipped_weights

__all__ = ["COMMANDS", "make_result", "read_rows", "study_steps"]

STUDIED_SEEDS = 8

TRAINING = "python benchmarks/spirals_training.py --out build/spirals --summary reports/paper/trainings.json"
REFERENCES = "python benchmarks/spirals_references.py --trained build/spirals"

COMMANDS = (
    f"{TRAINING} --setting reliable",
    f"{TRAINING} --setting paper",
    f"{REFERENCES} --setting reliable",
    f"{REFERENCES} --setting paper",
    "python benchmarks/spirals_depths.py --work build/depths --out reports/paper/depths.json",
    "diffeo-probe spirals figures --out reports/paper",
)


def study_steps(setting: str, *, seeds: int = STUDIED_SEEDS) -> list[dict[str, Any]]:
    """Run study 1 on the first good seeds of the shipped networks of a setting."""
    rows = []
    for letter in NETWORKS:
        networks = shipped_weights(setting, letter)
        good = shipped_references(setting)["networks"][letter]["good_seeds"][:seeds]
        chosen = networks.parameters.select([networks.seeds.index(seed) for seed in good])
        rows += step_rows(networks.setting, chosen, tuple(good))
    return rows


def make_result(
    settings: tuple[str, ...],
    studies: dict[str, list[dict[str, Any]]],
    depths: list[dict[str, Any]],
    trainings: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the whole content of `result.json`.

    Args:
        settings: names of the settings, the main one first.
        studies: rows of study 1 by setting.
        depths: rows of study 2, or none.
        trainings: what the trainings cost, or none.
    """
    found: dict[str, Any] = {}
    told: list[dict[str, str]] = []
    radius = 0.0
    for name in settings:
        networks = shipped_references(name)["networks"]
        described = dict(networks["a"]["setting"])
        radius = described["spirals"]["radius"]
        described.pop("network")
        described["architecture"] = {k: v for k, v in described["architecture"].items() if k != "shared"}
        found[name] = {
            "setting": described,
            "provenance": shipped_references(name)["provenance"],
            "rows": [network_row(letter, networks[letter]) for letter in NETWORKS],
            "untrained": untrained_signs(name),
            "exponential": composition_errors(name),
        }
        told += claims(name, networks, studies.get(name, []))
    return {
        "schema_version": "1.0",
        "radius": radius,
        "settings": found,
        "claims": sorted(told, key=lambda row: [c["claim"] for c in told].index(row["claim"])),
        "study_1": {name: steps_table(rows) for name, rows in studies.items()},
        "study_2": depths,
        "trainings": trainings,
        "commands": list(COMMANDS),
    }


def read_rows(path: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows that a benchmark wrote, none where it has not been run.

    Raises:
        LoadError: a file that no benchmark of this project wrote.
    """
    if not path.is_file():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[key]
    except (ValueError, KeyError, TypeError) as problem:
        raise LoadError(f"{path} is not a result of a benchmark", why=str(problem)) from problem
    return rows
