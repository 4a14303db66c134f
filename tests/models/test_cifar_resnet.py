"""The CIFAR ResNets against a functional implementation written from the paper's formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_diffeo_probe.models import CifarResNet
from resnet_diffeo_probe.models.cifar_resnet import SubsampleAndPad


def norm(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """Batch norm in evaluation mode, from its definition."""
    mean, var, gain, bias = (
        w[f"{name}.{k}"].view(-1, 1, 1) for k in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * gain + bias


def reference(w: dict[str, Tensor], x: Tensor, depths: tuple[int, ...], option: str) -> Tensor:
    """He et al. (2015), section 4.2, from the weights alone."""
    x = torch.relu(norm(F.conv2d(x, w["conv1.weight"], padding=1), w, "bn1"))
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            p = f"layer{stage}.{i}"
            stride = 2 if stage > 1 and i == 0 else 1
            y = torch.relu(norm(F.conv2d(x, w[f"{p}.conv1.weight"], stride=stride, padding=1), w, f"{p}.bn1"))
            y = norm(F.conv2d(y, w[f"{p}.conv2.weight"], padding=1), w, f"{p}.bn2")
            if y.shape != x.shape and option == "A":
                padded = torch.zeros_like(y)
                front = (y.shape[1] - x.shape[1]) // 2
                padded[:, front : front + x.shape[1]] = x[:, :, ::2, ::2]
                x = padded
            elif y.shape != x.shape:
                x = norm(F.conv2d(x, w[f"{p}.shortcut.0.weight"], stride=stride), w, f"{p}.shortcut.1")
            x = torch.relu(x + y)
    return F.linear(x.mean(dim=(2, 3)), w["linear.weight"], w["linear.bias"])


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 9, 14)])
def test_equals_the_formulas(option, shape):
    torch.manual_seed(0)
    net = CifarResNet((2, 1, 2), (4, 8, 10), shortcut=option).double().eval()
    weights = {
        k: v + 0.1 * torch.rand_like(v) if v.is_floating_point() else v for k, v in net.state_dict().items()
    }
    net.load_state_dict(weights)
    x = torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(weights, x, (2, 1, 2), option), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 269722), (32, 464154), (44, 658586), (56, 853018), (110, 1727962)]
)
def test_parameters_of_the_papers_networks(depth, parameters):
    # He et al. (2015), table 6: 0.27, 0.46, 0.66, 0.85, 1.7 million
    with torch.device("meta"):
        net = CifarResNet(((depth - 2) // 6,) * 3)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_padding_shortcut_of_an_odd_size_and_an_odd_number_of_channels():
    x = torch.arange(2 * 5 * 3, dtype=torch.float32).view(1, 2, 5, 3)
    y = SubsampleAndPad(2, 5, 2)(x)
    assert y.shape == (1, 5, 3, 2)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, [0, 3, 4]].any()


def test_padding_cannot_remove_channels():
    with pytest.raises(ValueError, match="8 to 4"):
        SubsampleAndPad(8, 4, 2)


@pytest.mark.parametrize(("depths", "widths"), [((), ()), ((1, 0), (4, 8)), ((1, 1), (4,))])
def test_stages_have_to_make_sense(depths, widths):
    with pytest.raises(ValueError, match="do not make stages"):
        CifarResNet(depths, widths)


def test_preactivation_sum_is_not_activated():
    torch.manual_seed(0)
    net = CifarResNet((2, 1), (4, 8), preactivation=True).eval()
    sums: list[Tensor] = []
    net.get_submodule("layer1.0").register_forward_hook(lambda m, a, out: sums.append(out))
    with torch.no_grad():
        assert net(torch.randn(2, 3, 8, 8)).shape == (2, 10)
    assert (sums[0] < 0).any()
