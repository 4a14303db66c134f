"""Train the paper's four spiral networks, many seeds at once, and say what it cost and how many succeeded.

    python benchmarks/spirals_training.py --setting reliable --seeds 32 --out build/spirals

A checkpoint is written every few epochs and taken up again, so that an interruption costs little. The summary
line of each network gives processor seconds (what it cost) and wall seconds (what else the machine did, too).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from environment import environment

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.fields.setting import SETTINGS, setting_named
from resnet_diffeo_probe.flows.training.accuracy import held_out_accuracy
from resnet_diffeo_probe.flows.training.checkpoint import load_training, save_training
from resnet_diffeo_probe.flows.training.training import EpochReport, Training, start_training, train

REPORT_EVERY = 50
SAVE_EVERY = 25


def train_network(letter: str, name: str, seeds: int, epochs: int, folder: Path) -> dict[str, object]:
    """Train one network's seeds, or go on with them; return the summary."""
    setting = setting_named(name, letter, epochs=epochs)
    path = folder / f"{name}_{letter}.npz"
    try:
        training = load_training(path, setting, tuple(range(seeds)))
    except LoadError as problem:
        if problem.code != "file-not-found":
            raise
        training = start_training(setting, range(seeds))
    cpu, wall = time.process_time(), time.monotonic()

    def after(state: Training, report: EpochReport) -> None:
        if state.epoch % SAVE_EVERY == 0 or state.epoch == epochs:
            save_training(state, path)
        if state.epoch % REPORT_EVERY == 0:
            good = int((report.accuracy > 0.99).sum())
            print(
                f"{name} {letter} epoch {state.epoch}/{epochs}: {good}/{seeds} above 99 % on training data, "
                f"{time.process_time() - cpu:.0f} s processor, {time.monotonic() - wall:.0f} s wall",
                flush=True,
            )

    first = training.epoch
    train(training, after_epoch=after)
    accuracy = held_out_accuracy(training)
    summary: dict[str, object] = {
        "setting": name,
        "network": letter,
        "seeds": seeds,
        "epochs": epochs,
        "epochs_of_this_run": epochs - first,
        "above_99_percent_held_out": int((accuracy > 0.99).sum()),
        "accuracy_median": float(np.median(accuracy)),
        "accuracy_least": float(accuracy.min()),
        "processor_seconds": round(time.process_time() - cpu, 1),
        "wall_seconds": round(time.monotonic() - wall, 1),
    }
    print(json.dumps(summary), flush=True)
    return summary


def main() -> None:
    """Train what the options name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="reliable")
    parser.add_argument("--networks", default="abcd")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument(
        "--summary", type=Path, help="file to which the costs are added, with the environment"
    )
    options = parser.parse_args()
    rows = [
        train_network(letter, options.setting, options.seeds, options.epochs, options.out)
        for letter in options.networks
        if letter in NETWORKS
    ]
    if options.summary is not None:
        add_to_summary(options.summary, rows)


def add_to_summary(path: Path, rows: list[dict[str, object]]) -> None:
    """Add the costs of whole trainings to a file, in place of earlier ones of the same setting and network."""
    kept = json.loads(path.read_text())["trainings"] if path.is_file() else []
    for row in rows:
        if row["epochs_of_this_run"] == row["epochs"]:  # a part of a training says nothing of its cost
            key = (row["setting"], row["network"])
            kept = [old for old in kept if (old["setting"], old["network"]) != key]
            kept.append({**row, "environment": environment()})
    kept.sort(key=lambda row: (row["setting"], row["network"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"trainings": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
