"""A trained ResNet-20 at images eliminated together, as on a GPU: what each image finds by itself."""

from pathlib import Path

import pytest
import torch

from resnet_diffeo_probe.analysis.measuring.executors import InThreads, OnDevice, on_device
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.jacobian.measures.batched_determinant import determinants
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.units import discover

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEIGHTS = SHARED / "data" / "weights" / "resnet20-12fca82f.th"
IMAGES = SHARED / "data" / "cifar10"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and IMAGES.is_dir()),
    reason="the real weights and images are not beside this checkout (../shared)",
)


def test_four_images_together_are_as_each_alone(monkeypatch):
    preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)
    images = read_inputs(str(IMAGES), count=4, preprocessing=preprocessing, shape=(3, 32, 32))
    discovery = discover(load(WEIGHTS).module, images.part(0, 1)).to(dtype=torch.float64)
    settings = Settings(budget=Budget.QUICK, workers=1, units=("layer2.*", "layer3.*"))
    plan = prepared(make_plan(discovery, settings))
    tasks = [
        Task(unit_plan.unit.name, name, images.part(index, index + 1).double())
        for index, name in enumerate(images.names)
        for unit_plan in plan.units
        if unit_plan.jacobian is not None
    ]
    sizes = []

    def counted(lins, **how):
        sizes.append(len(lins))
        return determinants(lins, **how)

    monkeypatch.setattr(on_device, "determinants", counted)
    alone, together = {}, {}
    for kind, found in ((InThreads, alone), (OnDevice, together)):
        with kind(discovery, plan) as executor:
            found |= {(outcome.unit, outcome.input): outcome.findings for outcome in executor.run(tasks)}
    assert sizes == [4] * 4
    assert alone.keys() == together.keys()
    assert len(alone) == 16
    for pair, findings in alone.items():
        for quantity, finding in findings.items():
            other = together[pair][quantity]
            assert (finding.status, finding.evidence) == (other.status, other.evidence)
        assert findings["sign"].value == together[pair]["sign"].value
        logabsdet, other = findings["logabsdet"], together[pair]["logabsdet"]
        assert other.value == pytest.approx(logabsdet.value, rel=1e-9)
        # two intervals around one number
        assert max(logabsdet.interval[0], other.interval[0]) <= min(logabsdet.interval[1], other.interval[1])
