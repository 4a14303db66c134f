"""Make the shipped references and weights from trained networks (see `spirals_training.py`), or the small pictures.

python benchmarks/spirals_references.py --trained build/spirals --setting reliable
python benchmarks/spirals_references.py --pictures        # from the shipped weights of the default setting
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.fields.setting import SETTINGS
from resnet_diffeo_probe.flows.training.checkpoint import load_training
from resnet_diffeo_probe.references.build import PROBABILITIES, network_reference, provenance
from resnet_diffeo_probe.references.catalogue import DEFAULT_SETTING
from resnet_diffeo_probe.references.pictures import draw_pictures
from resnet_diffeo_probe.references.weights import data_file, shipped_weights, store_weights


def main() -> None:
    """Make the files of one setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trained", type=Path, help="folder of checkpoints; without it, the shipped weights")
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="reliable")
    parser.add_argument("--pictures", action="store_true", help="the pictures alone")
    options = parser.parse_args()
    if options.pictures:
        write(data_file(f"pictures_{DEFAULT_SETTING}.json"), draw_pictures())
        return
    if options.trained is not None:
        trainings = {
            network: load_training(options.trained / f"{options.setting}_{network}.npz")
            for network in NETWORKS
        }
        store_weights(trainings, data_file(f"weights_{options.setting}.npz"))
    networks = {}
    for network in NETWORKS:
        begun = time.process_time()
        networks[network] = network_reference(shipped_weights(options.setting, network))
        good = len(networks[network]["good_seeds"])
        print(
            f"{options.setting} {network}: {good} good seeds, {time.process_time() - begun:.0f} s processor"
        )
    command = f"python benchmarks/spirals_references.py --setting {options.setting}"
    content = {
        "provenance": provenance(command),
        "probabilities": list(PROBABILITIES),
        "networks": networks,
    }
    write(data_file(f"references_{options.setting}.json"), content)


def write(path: Path, content: object) -> None:
    """Write a file that ships with the package."""
    path.write_text(json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
