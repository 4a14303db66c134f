"""One small analysis in the full budget, made by the engine: what every sample of the report's tests is made of.

Its network has a unit of every state. What the engine writes about them stands nowhere in the tests.
"""

import functools
from pathlib import Path

import torch

from resnet_diffeo_probe.analysis.analyze import Analysis, analyze
from resnet_diffeo_probe.analysis.planning.provenance import Provenance
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from resnet_diffeo_probe.models import LoadedModel
from tests.analysis.networks import Block, Net, Wider, seeded

#: The unit of each state of the sum map.
UNIT_OF = {
    "not_injective_proven": "units.folds",
    "no_violation_found": "units.open",
    "certified_injective": "units.contracts",
    "undetermined": "units.kinked",
    "not_applicable": "units.wider",
    "not_run": "units.left",
}
CLASSES = ("cat", "dog")
# of six random images those at which the first unit's signs are −, +, −, +, −
_PICKED = (2, 0, 4, 1, 5)
_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Kinked(Block):
    """A block whose hidden pre-activations are its inputs: zero wherever the ReLU before it clips."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, scale=2.0)
        with torch.no_grad():
            self.conv1.weight.zero_()
            self.conv1.bias.zero_()
            for channel in range(channels):
                self.conv1.weight[channel, channel, 1, 1] = 1


def network() -> Net:
    """Return the network, with the same weights every time."""
    names = [unit.removeprefix("units.") for unit in UNIT_OF.values()]

    def build() -> Net:
        units = Block(2, 8.0), Block(2), Block(2, 0.1), Kinked(2), Wider(2), Block(4)
        return Net(*units, names=names, width=4)

    return seeded(build, seed=4)


def pictures() -> Inputs:
    """Return five images of two classes."""
    pixels = torch.randint(0, 256, (6, 3, 5, 6), generator=torch.Generator().manual_seed(0))[list(_PICKED)]
    labels = (CLASSES * 3)[: len(_PICKED)]
    return Inputs(
        rows=TensorRows((pixels / 255 - 0.5) / 0.25),
        names=tuple(f"{label}/{place}.png" for place, label in enumerate(labels)),
        labels=labels,
        classes=CLASSES,
        skipped=(("cat/broken.png", "cannot be decoded: truncated file"),),
        kind="images",
        source="images/",
        preprocessing=Preprocessing(_MEAN, _STD),
        seed=0,
    )


@functools.cache
def analysed() -> Analysis:
    """Return the analysis; made once in a process, and nobody's to change."""
    module = network()
    loaded = LoadedModel(
        module,
        path=Path("units.pth"),
        sha256="b627a593" * 8,
        format="state dict (torch.save)",
        architecture="tests.analysis.networks.Net",
        architecture_assumed=True,
        notes=("The architecture was inferred from names and shapes of 30 tensors.",),
        num_classes=len(CLASSES),
        input_shape=(3, 5, 6),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )
    chosen = tuple(unit for state, unit in UNIT_OF.items() if state != "not_run")
    return analyze(
        loaded,
        pictures(),
        Settings(budget=Budget.FULL, units=chosen, workers=1),
        provenance=Provenance(command="diffeo-probe analyze units.pth --inputs images/ --budget full"),
    )
