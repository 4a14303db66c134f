"""The accuracy of the network at the inputs, where labels and outputs can be compared."""

from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.models import LoadedModel

from .analyzed import labelled
from .networks import Block, Net, images, seeded


def loaded(module, *, num_classes):
    return LoadedModel(
        module=module, path=Path("folder/model.pt"), sha256="0" * 64, format="state dict", architecture="Net",
        architecture_assumed=True, notes=("a note",), num_classes=num_classes, input_shape=(3, 6, 5), parameters=1,
    )  # fmt: skip


def test_accuracy_is_that_of_the_users_own_module_and_its_modes_are_kept():
    net, x = seeded(lambda: Net(Block(2))), images(40)
    with torch.no_grad():
        guess = net(x).argmax(1).tolist()
    wrong = {0, 3, 33}
    labels = ["ab"[g if i not in wrong else 1 - g] for i, g in enumerate(guess)]
    net.train()
    net.units["0"].eval()
    settings = Settings(measures=("residual_ratio",), workers=1)
    analysis = analyze(loaded(net, num_classes=2), labelled(x, labels, "ab"), settings)
    assert analysis.result["inputs"]["accuracy"] == {"correct": 37, "total": 40}
    assert analysis.result["inputs"]["skipped"] == [{"name": "readme.txt", "reason": "no image"}]
    assert analysis.result["model"]["architecture_assumed"] is True
    assert "a note" in analysis.result["model"]["notes"]
    assert net.training
    assert not net.units["0"].training
    assert not net.units["0"].conv1.training


@pytest.mark.parametrize(("classes", "num_classes"), [("abc", 2), ("abc", 3), ("ab", None)])
def test_no_accuracy_where_labels_and_outputs_cannot_be_compared(classes, num_classes):
    settings = Settings(measures=("residual_ratio",), workers=1)
    net = seeded(lambda: Net(Block(2)))  # two outputs, whatever the file was thought to have
    analysis = analyze(loaded(net, num_classes=num_classes), labelled(images(2), "ab", classes), settings)
    assert analysis.result["inputs"]["accuracy"] is None


def test_accuracy_of_an_exported_program_which_refuses_eval():
    net, x = seeded(lambda: Net(Block(2))), images(3)
    exported = torch.export.export(net, (x[:1],)).module()
    with pytest.raises(NotImplementedError):
        exported.eval()
    with torch.no_grad():
        labels = ["ab"[g] for g in net(x).argmax(1).tolist()]
    settings = Settings(measures=("residual_ratio",), workers=1)
    analysis = analyze(loaded(exported, num_classes=2), labelled(x, labels, "ab"), settings)
    assert analysis.result["inputs"]["accuracy"] == {"correct": 3, "total": 3}
