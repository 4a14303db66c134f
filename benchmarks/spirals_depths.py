"""Study 2: train the four networks at depths 5 to 80 and measure critical step and Jacobian.

python benchmarks/spirals_depths.py --seeds 4 --work build/depths --out reports/paper/depths.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS, PlaneNetwork
from resnet_diffeo_probe.flows.fields.setting import SETTINGS, setting_named
from resnet_diffeo_probe.flows.studies.depth_study import DEPTHS, depth_rows
from resnet_diffeo_probe.flows.training.checkpoint import load_training, save_training
from resnet_diffeo_probe.flows.training.training import EpochReport, Training, start_training, train

SAVE_EVERY = 50


def main() -> None:
    """Train what is missing, measure everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="reliable")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--networks", default="abcd")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints, taken up again")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for depth in DEPTHS:
        for network in (letter for letter in NETWORKS if letter in options.networks):
            setting = setting_named(
                options.setting, network, architecture=PlaneNetwork(steps=depth), epochs=options.epochs
            )
            path = options.work / f"{network}_{depth}.npz"
            seeds = tuple(range(options.seeds))
            try:
                training = load_training(path, setting, seeds)
            except LoadError as problem:
                if problem.code != "file-not-found":
                    raise
                training = start_training(setting, seeds)
            begun = time.process_time()

            def after(state: Training, _report: EpochReport, path: Path = path) -> None:
                if state.epoch % SAVE_EVERY == 0:
                    save_training(state, path)

            train(training, after_epoch=after)
            save_training(training, path)
            rows += depth_rows(training)
            print(f"{network} depth {depth}: {time.process_time() - begun:.0f} s processor", flush=True)
    command = (
        f"python benchmarks/spirals_depths.py --setting {options.setting} --seeds {options.seeds} "
        f"--epochs {options.epochs}"
    )
    content = {"command": command, "setting": options.setting, "epochs": options.epochs, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, allow_nan=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
