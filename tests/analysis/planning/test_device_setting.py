"""Where Jacobians are eliminated is a setting; a GPU that is missing is an error before anything is computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.units import discover


class Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


def test_a_missing_gpu_is_refused_before_anything_runs() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(ConfigurationError, match="not on this machine") as caught:
        analyze(Step().eval(), torch.zeros(1, 2, 4, 4), Settings(device=f"cuda:{count}"))
    assert caught.value.code == "no-such-device"


def test_the_device_is_recorded_and_the_cpu_has_no_second_copy() -> None:
    settings = Settings(budget=Budget.QUICK, workers=1)
    result = analyze(Step().eval(), torch.ones(1, 2, 4, 4), settings).result
    assert result["tool"]["device"] == result["tool"]["configuration"]["device"] == "cpu"
    found = discover(Step().eval(), torch.zeros(1, 2, 4, 4)).to(dtype=torch.float64)
    assert [p.accelerated for p in prepared(make_plan(found, settings)).units] == [None]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    here, there = (
        analyze(Step().eval(), x, Settings(budget=Budget.QUICK, workers=1, device=device)).result
        for device in ("cpu", "cuda")
    )
    for one, other in zip(here["measurements"], there["measurements"], strict=True):
        assert (one["quantity"], one["status"]) == (other["quantity"], other["status"])
        if one["quantity"] != "sign_margin":
            assert other["value"] == pytest.approx(one["value"], rel=1e-9, abs=1e-12)
