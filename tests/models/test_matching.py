"""What does not fit is named: the first five of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models.matching import compare, fill


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_nothing_to_say():
    assert not compare(net().state_dict(), net())


def test_each_kind_is_named():
    weights = dict(net().state_dict())
    weights["0.weight"] = torch.zeros(5, 1, 3, 3)
    del weights["1.running_mean"]
    weights.update({f"extra.{i}": torch.zeros(1) for i in range(7)})
    with pytest.raises(LoadError) as caught:
        fill(net(), weights, "net", Path("a.pt"))
    assert caught.value.code == "weights-do-not-match"
    why = caught.value.why
    assert "1 missing: 1.running_mean" in why
    assert "7 unexpected: extra.0, extra.1, extra.2, extra.3, extra.4 and 2 more" in why
    assert "0.weight is [5, 1, 3, 3] in the file, [2, 1, 3, 3] in the model" in why


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_old_files_without_step_counters(device):
    weights = {n: t + 1 for n, t in net().state_dict().items() if not n.endswith("num_batches_tracked")}
    with torch.device(device):
        module = net()
    fill(module, weights, "net", Path("a.pt"))
    assert int(module[1].num_batches_tracked) == 0
    for name, tensor in weights.items():
        assert torch.equal(module.state_dict()[name], tensor)


def test_shared_parameters_stay_shared():
    shared = nn.Linear(2, 2)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    fill(module, {n: torch.ones_like(t) for n, t in module.state_dict().items()}, "net", Path("a.pt"))
    assert module[0].weight is module[2].weight
    assert torch.equal(module[0].weight, torch.ones(2, 2))
