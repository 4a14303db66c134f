"""A network without one of its branches, against the same network written without it."""

import pytest
import torch
from captum.attr import LayerFeatureAblation
from torch.nn import functional as F

from resnet_diffeo_probe.attribution import ablations, agreement


def test_of_one_unit_is_the_network_without_it(classifier, images, tapped):
    model = classifier(units=1)
    ((found,), *more) = zip(*ablations(tapped(model, images), images), strict=True)
    assert len(more) == 1  # two images
    with torch.no_grad():
        before = model(images)[0]
        without = model.head(F.relu(F.relu(model.stem(images))).mean((2, 3)))[0]
    target = int(before.argmax())
    assert found.logit_drop == pytest.approx(float(before[target] - without[target]))
    assert found.probability == pytest.approx(float(without.softmax(0)[target]))
    assert found.predicted == int(without.argmax())


def test_of_a_linear_network_is_its_conductance_from_zero_without_biases(linear, tapped):
    with torch.no_grad():
        for name, parameter in linear.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    x = torch.randn(1, 5, dtype=torch.float64)
    target = int(linear(x).argmax())
    first, second, head = linear
    h, A, B = head.weight[target], first.branch.weight, second.branch.weight
    drops = [of_unit[0].logit_drop for of_unit in ablations(tapped(linear, x), x)]
    assert drops[0] == pytest.approx(float(h @ (A + B @ A) @ x[0]))
    assert drops[1] == pytest.approx(float(h @ B @ (x[0] + A @ x[0])))


def test_is_captums_ablation_of_the_whole_tap(classifier, images, tapped):
    network = tapped(classifier(3), images)
    target = network(images).detach().argmax(1)
    for unit, found in zip(network.units, ablations(network, images), strict=True):
        tap = network.get_submodule(f"_network.taps.{unit.tap_name}.branch")
        mask = torch.zeros(1, *unit.output_shape, dtype=torch.long)
        change = LayerFeatureAblation(network, tap).attribute(images, 0, target=target, layer_mask=mask)
        assert [f.logit_drop for f in found] == pytest.approx(change.flatten(1)[:, 0].tolist())


def test_what_is_not_finite_is_unknown(linear, tapped):
    with torch.no_grad():
        linear[0].branch.weight.copy_(
            -torch.eye(5)
        )  # the unit brings every input near zero, its shortcut does not
        linear[0].branch.bias.zero_()
        linear[1].branch.weight.fill_(1e10)
    network = tapped(linear, torch.zeros(1, 5, dtype=torch.float64))
    with_first, _ = ablations(network, torch.full((1, 5), 1e305, dtype=torch.float64))
    (found,) = with_first
    assert found.logit_drop is found.probability is found.predicted is None


def test_agreement_counts_orders():
    found = agreement(
        [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]], [[10.0, 20.0, 30.0, 31.0], [4.0, 3.0, 2.0, 1.0]]
    )
    assert found.correlations == pytest.approx((1.0, -1.0))
    assert found.median == pytest.approx(0.0)
    assert found.units == 4


@pytest.mark.parametrize(
    ("conductances", "drops", "says"),
    [
        ([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], "too few"),
        ([[1.0, 1.0, 1.0, 1.0]], [[1.0, 2.0, 3.0, 4.0]], "constant"),
        ([[1.0, 2.0, 3.0, 4.0]], [[1.0, None, 3.0, 4.0]], "not finite"),
        ([], [], "too few"),
    ],
)
def test_without_an_order_there_is_a_reason(conductances, drops, says):
    found = agreement(conductances, drops)
    assert found.median is None
    assert says in found.reason
