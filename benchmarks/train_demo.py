"""Train the demo: a small post-activation ResNet on scikit-learn's handwritten digits; write the package data.

    python benchmarks/train_demo.py            # half a minute on one core

Writes `resnet_diffeo_probe/demo/`: the weights, 32 held-out digits as PNGs in class folders, and `digits.json`
with the preprocessing and what was measured. The held-out digits take no part in training: no early stopping, no
choice. Afterwards the sign of det(I + J_F) of every identity unit is counted with dense float64 Jacobians, and
printed whatever it is. One thread, so that the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_diffeo_probe.inputs import Preprocessing, accuracy, read_inputs
from resnet_diffeo_probe.models import CifarResNet, load
from resnet_diffeo_probe.models.cifar_resnet import BasicBlock, SubsampleAndPad

DEMO = Path(__file__).resolve().parent.parent / "resnet_diffeo_probe" / "demo"
DEPTHS, WIDTHS = (3, 3), (8, 32)  # 8 × 8×8 and 32 × 4×4: dimension 512 in both stages
EPOCHS, BATCH, HELD_OUT, SHIPPED = 60, 64, 397, 32


def digits() -> tuple[Tensor, Tensor]:
    """Return all 1797 digits as uint8 pixels (N, 1, 8, 8), and their classes."""
    data = load_digits()  # grey counts from 0 to 16
    pixels = torch.from_numpy(np.rint(data.images * 255 / 16).astype(np.uint8))[:, None]
    return pixels, torch.from_numpy(data.target.astype(np.int64))


def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images moved by −1, 0 or 1 pixel along each axis, each by its own."""
    padded = F.pad(batch, (1, 1, 1, 1), value=float(batch.min()))
    moves = torch.randint(0, 3, (len(batch), 2), generator=generator)
    return torch.stack(
        [p[:, dy : dy + 8, dx : dx + 8] for p, (dy, dx) in zip(padded, moves.tolist(), strict=True)]
    )


def train(x: Tensor, y: Tensor, generator: torch.Generator) -> CifarResNet:
    """Train with SGD, momentum, weight decay and a cosine schedule."""
    net = CifarResNet(DEPTHS, WIDTHS, in_channels=1, num_classes=10).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        for start in range(0, len(x) - BATCH + 1, BATCH):
            index = order[start : start + BATCH]
            loss = F.cross_entropy(net(shifted(x[index], generator)), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * BATCH
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  training loss {total / len(x):.4f}", flush=True)
    return net.eval()


def write_digits(pixels: Tensor, y: Tensor, folder: Path) -> None:
    """Write the first held-out digits, class by class in turn, as PNGs in class folders."""
    shutil.rmtree(folder, ignore_errors=True)
    for i in range(SHIPPED):
        digit, number = i % 10, i // 10
        index = int((y == digit).nonzero()[number])
        target = folder / str(digit) / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index, 0].numpy()).save(target, optimize=True)


def signs(net: nn.Module, x: Tensor) -> dict[str, dict[str, Any]]:
    """Return the signs of det(I + J_F), and log|det| / n, of each identity unit: dense, float64."""
    net = net.double()
    result: dict[str, dict[str, Any]] = {}
    for name, unit in net.named_modules():
        if not isinstance(unit, BasicBlock) or isinstance(
            unit.get_submodule(unit.shortcut_name), SubsampleAndPad
        ):
            continue
        inputs: list[Tensor] = []
        hook = unit.register_forward_pre_hook(lambda _, args, seen=inputs: seen.append(args[0].detach()))
        with torch.no_grad():
            net(x.double())
        hook.remove()

        def sum_map(flat: Tensor, unit: BasicBlock = unit, shape: torch.Size = inputs[0].shape[1:]) -> Tensor:
            u = flat.view(1, *shape)
            return (u + unit.bn2(unit.conv2(unit.relu1(unit.bn1(unit.conv1(u)))))).flatten()

        found = [torch.linalg.slogdet(torch.func.jacrev(sum_map)(u.flatten())) for u in inputs[0]]
        counted = [int(sign) for sign, _ in found]
        result[name] = {
            "dimension": inputs[0][0].numel(),
            "positive": counted.count(1),
            "negative": counted.count(-1),
            "singular": counted.count(0),
            "median_logabsdet_per_dimension": round(
                float(np.median([float(value) for _, value in found])) / inputs[0][0].numel(), 4
            ),
        }
    return result


def main() -> None:
    """Train, write, load again the way a user's file is loaded, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DEMO)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    pixels, y = digits()
    order = torch.randperm(len(pixels), generator=generator)
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    scaled = pixels[rest].float() / 255
    mean, std = round(float(scaled.mean()), 4), round(float(scaled.std()), 4)
    preprocessing = Preprocessing((mean,), (std,))
    begun = time.perf_counter()
    net = train(preprocessing.normalize(scaled), y[rest], generator)
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        logits = net(preprocessing.normalize(pixels[held].float() / 255))
    correct = int((logits.argmax(1) == y[held]).sum())

    options.out.mkdir(parents=True, exist_ok=True)
    weights, images = options.out / "digits_resnet.safetensors", options.out / "digits"
    # one entry only: safetensors writes several in random order, and the file's bytes would change
    save_file(net.state_dict(), weights, metadata={"input_shape": "1,8,8"})
    write_digits(pixels[held], y[held], images)
    loaded = load(weights)
    inputs = read_inputs(images, preprocessing=preprocessing, shape=loaded.input_shape)
    with torch.no_grad():
        shipped = accuracy(loaded.module(inputs.tensor), inputs, loaded.num_classes)
    units = signs(loaded.module, inputs.tensor)
    record = {
        "architecture": loaded.architecture,
        "preprocessing": {"mean": [mean], "std": [std], "size": None},
        "held_out_correct": [correct, HELD_OUT],
        "shipped_correct": shipped,
        "units": units,
        "seed": options.seed,
        "data": "scikit-learn's load_digits, the test part of UCI's Optical Recognition of Handwritten "
        "Digits, E. Alpaydin and C. Kaynak (1998), doi:10.24432/C50P49, CC BY 4.0",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }
    (options.out / "digits.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    size = sum(p.stat().st_size for p in images.rglob("*.png"))
    print(f"{loaded.architecture}: {loaded.parameters} parameters in {weights.stat().st_size} bytes")
    print(
        f"held-out accuracy {correct}/{HELD_OUT} = {100 * correct / HELD_OUT:.2f} %, {seconds:.0f} s of training"
    )
    print(f"{SHIPPED} digits in {size} bytes, (correct, total) = {shipped}")
    for name, unit in units.items():
        print(f"  {name}: {unit}")


if __name__ == "__main__":
    main()
