"""The elimination on every device there is, and without a GPU: nothing is made on a device that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian import UnitJacobian, determinant
from resnet_diffeo_probe.jacobian.linearized.device import compute_device, device_memory
from resnet_diffeo_probe.jacobian.measures.spectrum import smallest_singular_value

D = torch.float64


def tensor(*shape: int, scale: float = 0.3, seed: int = 0) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return scale * torch.randn(*shape, dtype=D, generator=generator, device="cpu")


def conv(c_out: int, c_in: int, *kernel: int, seed: int = 0, **kwargs: Any) -> Any:
    return (
        {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[len(kernel)],
        (
            tensor(c_out, c_in, *kernel, seed=seed),
            tensor(c_out, seed=seed + 1),
        ),
        kwargs,
    )


NORM = (F.batch_norm, (tensor(3), tensor(3).abs() + 1, tensor(3), tensor(3)), {"training": False})

BRANCHES: dict[str, tuple[list[Any], tuple[int, ...]]] = {
    "basic": (
        [conv(3, 2, 3, 3, padding=1), NORM, (F.relu, (), {}), conv(2, 3, 3, 3, seed=3, padding=1)],
        (2, 6, 5),
    ),
    "bottleneck": (
        [
            conv(2, 4, 1, 1),
            (F.relu, (), {}),
            conv(2, 2, 3, 3, seed=2, padding=1),
            (F.gelu, (), {}),
            conv(4, 2, 1, 1, seed=4),
            (torch.mul, (0.5,), {}),
        ],
        (4, 5, 6),
    ),
    "circular, pooled, group norm": (
        [
            (F.pad, ([1, 1, 1, 1],), {"mode": "circular"}),
            conv(4, 2, 3, 3),
            (F.group_norm, (2, tensor(4).abs() + 0.5, tensor(4)), {}),
            (F.avg_pool2d, (3,), {"stride": 1, "padding": 1}),
            (F.silu, (), {}),
            conv(2, 4, 1, 1, seed=5),
        ],
        (2, 5, 4),
    ),
    "one axis, depthwise": (
        [conv(3, 1, 3, padding=1, groups=3), (F.relu6, (), {}), conv(3, 3, 1, seed=7)],
        (3, 9),
    ),
}


@pytest.fixture
def nothing_by_default() -> Iterator[None]:
    """Whatever is made without a device lands on one that holds no data."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("name", BRANCHES)
def test_every_tensor_is_made_on_the_device_of_the_parameters(
    unit_of: Callable[..., Any], name: str, nothing_by_default: None
) -> None:
    operations, shape = BRANCHES[name]
    unit = unit_of(operations, shape)
    x = tensor(*shape, scale=1.0, seed=9)
    jacobian = UnitJacobian(unit)
    jacobian.prepare()
    lin = jacobian.at(x)
    for keep in (True, False):
        found = determinant(lin, keep=keep)
        assert found.sign.status is Status.OK, found.sign.reason
        assert found.logabsdet.value is not None
    assert determinant(lin).factorization is not None
    torch.set_default_device(None)
    sign, logabsdet = torch.linalg.slogdet(unit.jacobian(x))
    assert (found.sign.value, found.logabsdet.value) == (int(sign), pytest.approx(float(logabsdet), rel=1e-9))


def test_the_check_would_see_a_tensor_made_elsewhere(nothing_by_default: None) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        float((torch.zeros(2) + torch.ones(2, device="cpu")).sum())


def devices() -> list[Any]:
    missing = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
    return ["cpu", pytest.param("cuda", marks=missing)]


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("name", BRANCHES)
def test_devices_agree(unit_of: Callable[..., Any], name: str, device: str) -> None:
    operations, shape = BRANCHES[name]
    x = tensor(*shape, scale=1.0, seed=9)
    here = determinant(UnitJacobian(unit_of(operations, shape)).at(x))
    unit = unit_of(operations, shape)
    unit.branch = _moved(unit.branch, device)
    lin = UnitJacobian(unit).at(x)  # an input is moved to the parameters
    assert lin.x.device.type == device
    there = determinant(lin)
    assert (there.sign.value, there.sign.status) == (here.sign.value, here.sign.status)
    assert there.logabsdet.value == pytest.approx(here.logabsdet.value, rel=1e-9)
    assert there.factorization is not None
    assert there.factorization.solve(lin.x).device.type == device
    sigma = smallest_singular_value(lin, there.factorization)
    expected = torch.linalg.svdvals(unit_of(operations, shape).jacobian(x))[-1]
    assert sigma.value == pytest.approx(float(expected), rel=1e-6)


def _moved(branch: fx.GraphModule, device: str) -> fx.GraphModule:
    return branch.to(device)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "mps", "", "cuda:99999"])
def test_devices_that_are_not_known_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not known"):
        compute_device(name)


def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(ConfigurationError, match="not on this machine"):
        compute_device(f"cuda:{count}")
    assert compute_device("auto").type == ("cuda" if count else "cpu")
    assert compute_device("cpu").type == "cpu"
    assert device_memory(torch.device("cpu")) is None


@pytest.mark.parametrize("device", devices())
def test_a_unit_is_copied_to_another_device_and_stays_where_it_is(
    unit_of: Callable[..., Any], device: str
) -> None:
    operations, shape = BRANCHES["basic"]
    unit = unit_of(operations, shape)
    jacobian = UnitJacobian(unit, compute_device(device))
    assert jacobian.branch is not unit.branch
    assert jacobian.at(tensor(*shape)).x.device.type == device
    assert {p.device.type for p in unit.branch.buffers()} == {"cpu"}
