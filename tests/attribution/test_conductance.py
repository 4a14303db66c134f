"""Conductance: known answers on linear networks, captum one tap at a time as the slow way, completeness."""

import pytest
import torch
from captum.attr import LayerConductance

from resnet_diffeo_probe.attribution import NotAttributableError, conductance


def test_of_a_linear_network_is_what_its_matrices_say(linear, tapped):
    x, baseline = torch.randn(2, 1, 5, dtype=torch.float64)
    found = conductance(tapped(linear, x), x, baseline, target=1)
    first, second, head = linear
    step = (x - baseline)[0]
    A, B, h = first.branch.weight, second.branch.weight, head.weight[1]
    eye = torch.eye(5, dtype=torch.float64)
    # the first branch's output goes on through the second unit whole: shortcut and branch
    assert found.units[0].branch == pytest.approx(float(h @ (eye + B) @ A @ step), rel=1e-9)
    assert found.units[1].branch == pytest.approx(float(h @ B @ (eye + A) @ step), rel=1e-9)
    assert found.difference == pytest.approx(float(h @ (eye + B) @ (eye + A) @ step), rel=1e-9)
    assert found.logit == pytest.approx(float(linear(x)[0, 1]))
    for unit in found.units:
        assert unit.total == pytest.approx(found.difference, rel=1e-9)
        assert abs(unit.completeness_error) < 1e-12
        assert found.share(unit, limit=0.05) == pytest.approx(unit.branch / found.difference)
    assert found.steps == 64  # no reason to refine


def test_all_taps_together_are_captum_at_each_tap(classifier, images, tapped):
    network = tapped(classifier(), images)
    x, baseline = images[:1], torch.zeros_like(images[:1])
    together = conductance(network, x, baseline, 2, steps=40, most_steps=40)
    for unit, found in zip(network.units, together.units, strict=True):
        for place, value in (("branch", found.branch), ("sum", found.total)):
            alone = LayerConductance(network, network.get_submodule(f"_network.taps.{unit.tap_name}.{place}"))
            values, delta = alone.attribute(
                x, baseline, target=2, n_steps=40, method="riemann_trapezoid", return_convergence_delta=True
            )
            assert value == pytest.approx(float(values.detach().sum()), rel=1e-9)
            if place == "sum":
                assert found.completeness_error == pytest.approx(float(delta), abs=1e-12)


def test_more_steps_make_it_complete(classifier, images, tapped):
    network = tapped(classifier(3), images)
    x, baseline = images[:1], torch.zeros_like(images[:1])
    errors = []
    for steps in (4, 64, 1024):
        found = conductance(network, x, baseline, 0, steps=steps, most_steps=steps)
        errors.append(max(abs(unit.completeness_error) for unit in found.units))
    assert errors[0] > 10 * errors[2]
    assert errors[2] < 1e-3 * abs(found.difference)


def test_a_coarse_line_is_refined(classifier, images, tapped):
    network = tapped(classifier(3), images)
    x, baseline = images[1:], torch.zeros_like(images[:1])
    coarse = conductance(network, x, baseline, 0, steps=2, most_steps=2)
    fine = conductance(network, x, baseline, 0, steps=2, most_steps=512)
    assert coarse.steps == 2
    assert fine.steps > 2
    assert abs(fine.units[0].completeness_error) < abs(coarse.units[0].completeness_error)


def test_a_share_of_what_is_not_complete_is_unknown(classifier, images, tapped):
    network = tapped(classifier(), images)
    found = conductance(network, images[:1], torch.zeros_like(images[:1]), 0, steps=2, most_steps=2)
    unit = found.units[0]
    assert found.share(unit, limit=abs(unit.completeness_error / found.difference) * 0.9) is None
    assert found.share(unit, limit=abs(unit.completeness_error / found.difference) * 1.1) is not None


def test_where_the_logit_does_not_change_there_is_no_share(linear, tapped):
    x = torch.randn(1, 5, dtype=torch.float64)
    found = conductance(tapped(linear, x), x, x, target=0)
    assert found.difference == 0
    assert [found.share(unit, limit=0.05) for unit in found.units] == [None, None]


def test_chunks_change_nothing(classifier, images, tapped, monkeypatch):
    network = tapped(classifier(), images)
    baseline = torch.zeros_like(images[:1])
    whole = conductance(network, images[:1], baseline, 1, steps=20, most_steps=20)
    assert network.points_at_once(images) > 3
    monkeypatch.setattr(network, "points_at_once", lambda _x: 3)
    parts = conductance(network, images[:1], baseline, 1, steps=20, most_steps=20)
    for a, b in zip(whole.units, parts.units, strict=True):
        assert a.branch == pytest.approx(b.branch, rel=1e-9)
        assert a.total == pytest.approx(b.total, rel=1e-9)


def test_a_logit_that_is_not_finite_is_a_reason(classifier, images, tapped):
    model = classifier()
    network = tapped(model, images)
    with torch.no_grad():
        model.head.weight[0] = float("inf")
    with pytest.raises(NotAttributableError, match="not finite"):
        conductance(network, images[:1], torch.zeros_like(images[:1]), 0)
