"""Known right numbers: how many residual units well-known networks have."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from resnet_diffeo_probe.models import CifarResNet
from resnet_diffeo_probe.units import discover

tv = torchvision.models
IMAGE = (1, 3, 64, 64)
SMALL = (1, 3, 32, 32)


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        timm = pytest.importorskip("timm")
        return timm.create_model(name, pretrained=False, **options)

    return build


def _hugging_face() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    return transformers.ResNetForImageClassification(transformers.ResNetConfig())


def _feature_pyramid() -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    return resnet_fpn_backbone(backbone_name="resnet50", weights=None)


class _Shared(nn.Module):
    """One residual block, applied twenty times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = tv.resnet.BasicBlock(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(20):
            x = self.block(x)
        return x


# name: (model, example's shape, units by shortcut, activation after the addition)
TABLE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, int], str | None]] = {
    "resnet18": (tv.resnet18, IMAGE, {"identity": 5, "projection": 3}, "relu"),
    "resnet50": (tv.resnet50, SMALL, {"identity": 12, "projection": 4}, "relu"),
    "resnet101": (tv.resnet101, SMALL, {"identity": 29, "projection": 4}, "relu"),
    "resnext50": (tv.resnext50_32x4d, SMALL, {"identity": 12, "projection": 4}, "relu"),
    "wide_resnet50": (tv.wide_resnet50_2, SMALL, {"identity": 12, "projection": 4}, "relu"),
    "regnet_y_400mf": (tv.regnet_y_400mf, IMAGE, {"identity": 12, "projection": 4}, "relu"),
    "convnext_tiny": (tv.convnext_tiny, IMAGE, {"identity": 18}, None),
    "efficientnet_b0": (tv.efficientnet_b0, IMAGE, {"identity": 9}, None),
    "mobilenet_v2": (tv.mobilenet_v2, IMAGE, {"identity": 10}, None),
    "densenet121": (tv.densenet121, IMAGE, {}, None),
    "vgg11": (lambda: tv.vgg11(num_classes=10), SMALL, {}, None),
    "fcn_resnet50": (
        lambda: tv.segmentation.fcn_resnet50(weights=None, weights_backbone=None),
        SMALL,
        {"identity": 12, "projection": 4},
        "relu",
    ),
    "r3d_18": (tv.video.r3d_18, (1, 3, 2, 16, 16), {"identity": 5, "projection": 3}, "relu"),
    "resnet50_fpn": (_feature_pyramid, SMALL, {"identity": 12, "projection": 4}, "relu"),
    "resnet50d": (_timm("resnet50d"), SMALL, {"identity": 12, "projection": 4}, "relu"),
    "resnetv2_50": (_timm("resnetv2_50"), SMALL, {"identity": 12, "projection": 4}, None),
    "seresnet50": (_timm("seresnet50"), SMALL, {"identity": 12, "projection": 4}, "relu"),
    "resnest14d": (_timm("resnest14d"), IMAGE, {"projection": 4}, "relu"),
    "nf_resnet50": (_timm("nf_resnet50"), SMALL, {"identity": 12, "projection": 4}, None),
    "res2net50": (_timm("res2net50_26w_4s"), SMALL, {"identity": 12, "projection": 4}, "relu"),
    "hrnet_w18_small": (_timm("hrnet_w18_small"), IMAGE, {"identity": 18, "projection": 5}, "relu"),
    "vit_tiny": (_timm("vit_tiny_patch16_224", img_size=64), IMAGE, {"identity": 24}, None),
    "hugging_face_resnet50": (_hugging_face, IMAGE, {"identity": 12, "projection": 4}, "relu"),
    "cifar_resnet20": (lambda: CifarResNet((3, 3, 3)), SMALL, {"identity": 7, "padding": 2}, "relu"),
    "cifar_resnet56": (lambda: CifarResNet((9, 9, 9)), SMALL, {"identity": 25, "padding": 2}, "relu"),
    "cifar_preactivation": (
        lambda: CifarResNet((3, 3, 3), preactivation=True),
        SMALL,
        {"identity": 7, "padding": 2},
        None,
    ),
    "shared_20": (_Shared, (1, 8, 8, 8), {"identity": 20}, "relu"),
    "data_parallel": (
        lambda: nn.DataParallel(tv.resnet18()),
        IMAGE,
        {"identity": 5, "projection": 3},
        "relu",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_known_right_number(name: str, randomized: Callable[[nn.Module], nn.Module]) -> None:
    build, shape, shortcuts, activation = TABLE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party initialisers warn about themselves
        model = randomized(build()).eval()
    example = torch.randn(shape)
    found = discover(model, example)

    assert Counter(unit.shortcut for unit in found.units) == shortcuts
    assert {unit.activation for unit in found.units} == ({activation} if shortcuts else set())
    assert len({unit.name for unit in found.units}) == len(found.units)
    assert found.batch_is_free
    assert found.exact, "the rebuilt network equals the original to the bit"
    _check_units(found, example)


def _check_units(found, example: torch.Tensor) -> None:
    """Feed each unit's maps with what went in, and compare with what came out."""
    _, activations = found.run(example)
    for unit in found.units:
        seen = activations[unit.name]
        assert seen.input.shape[1:] == unit.input_shape
        assert seen.sum.shape[1:] == unit.output_shape
        assert seen.branch.abs().max() > 0
        assert unit.preserves_dimension == (unit.shortcut == "identity")
        torch.testing.assert_close(unit.branch(seen.input), seen.branch)
        torch.testing.assert_close(unit.sum_map(seen.input), seen.sum)
        torch.testing.assert_close(unit(seen.input), seen.output)
        if unit.shortcut == "identity":
            assert torch.equal(unit.shortcut_map(seen.input), seen.input)


def test_the_feature_pyramids_own_sums_are_named() -> None:
    found = discover(_feature_pyramid(), torch.randn(IMAGE))
    assert [miss.name.split(".")[0] for miss in found.rejected] == ["fpn"] * 3
    assert all("upsampled" in miss.reason for miss in found.rejected)


def test_split_pieces_of_res2net_are_named() -> None:
    found = discover(_timm("res2net50_26w_4s")(), torch.randn(IMAGE))
    assert sum("split tensor" in miss.reason for miss in found.rejected) == 24


def test_networks_without_additions_say_so() -> None:
    dense = discover(tv.densenet121(), torch.randn(IMAGE)).explain_none()
    assert "features.denseblock1.denselayer2: torch.cat, not an addition (and 57 more)" in dense
    plain = discover(tv.vgg11(num_classes=10), torch.randn(SMALL)).explain_none()
    for blind_spot in ("addcmul", "lerp", "stack"):
        assert blind_spot in plain


def test_units_are_named_by_their_modules() -> None:
    found = discover(tv.resnet18(), torch.randn(IMAGE))
    assert [unit.name for unit in found.units] == [
        f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)
    ]
    shared = discover(_Shared(), torch.randn(1, 8, 8, 8))
    assert [unit.name for unit in shared.units] == ["block", *(f"block#{n}" for n in range(2, 21))]
