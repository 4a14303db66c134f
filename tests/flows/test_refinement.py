"""The refinement test against hand-made networks and against the spirals' own integrator."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.module import spiral_module
from resnet_diffeo_probe.flows.fields.parameters import glorot_uniform
from resnet_diffeo_probe.flows.integration.integrate import flow
from resnet_diffeo_probe.flows.studies.refinement import (
    Refinement,
    refinable,
    refined_sum,
    refinement_test,
    run_refined,
)
from resnet_diffeo_probe.flows.training.accuracy import logits_of
from resnet_diffeo_probe.units import discover


def _parameters(shared, seed=0):
    architecture = PlaneNetwork(steps=5, shared=shared)
    return glorot_uniform(architecture, [np.random.default_rng(seed)], gain=0.7).astype(np.float64)


POINTS = np.random.default_rng(1).uniform(-2, 2, (1, 2, 40))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("scheme", "steps"), [("euler", 1), ("euler", 4), ("rk4", 1), ("rk4", 2)])
def test_refined_module_equals_the_spirals_own_integrator(shared, scheme, steps):
    parameters = _parameters(shared)
    discovery = discover(spiral_module(parameters), torch.zeros(2, 2, dtype=torch.float64))
    assert len(discovery.units) == 5
    with run_refined(discovery, refinable(discovery), Refinement(scheme, steps)) as network, torch.no_grad():
        refined = network(torch.from_numpy(POINTS[0].T.copy()))[:, 0].numpy()
    honest = logits_of(parameters, flow(VelocityField(parameters), POINTS, steps=5 * steps, scheme=scheme))[0]
    np.testing.assert_allclose(refined, honest, rtol=1e-10, atol=1e-12)


def test_linear_branch_tends_to_the_matrix_exponential():
    matrix = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    turned = torch.tensor([[np.cos(1.0), np.sin(1.0)]], dtype=torch.float64)
    ends = [refined_sum(lambda z: z @ matrix.T, x, Refinement("euler", k)) for k in (1, 1000)]
    assert torch.equal(ends[0], x + x @ matrix.T)
    assert torch.allclose(ends[1], turned, atol=1e-3)
    assert torch.allclose(refined_sum(lambda z: z @ matrix.T, x, Refinement("rk4", 8)), turned, atol=1e-6)


class _Block(nn.Module):
    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = nn.Conv2d(channels, out, 1, stride) if channels != out else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.short(x))


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(_Block(3, 3), _Block(3, 6, 2), _Block(6, 6))
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=(2, 3)))


@pytest.fixture
def discovery():
    torch.manual_seed(0)
    return discover(_Network().eval(), torch.randn(2, 3, 8, 8))


def test_rows_for_all_units_and_for_each(discovery):
    batches = [torch.randn(5, 3, 8, 8), torch.randn(3, 3, 8, 8)]
    labels = torch.arange(8) % 4
    seen = []
    rows = refinement_test(discovery, batches, labels=labels, after_run=seen.append)
    assert rows == seen
    names = [unit.name for unit in refinable(discovery)]
    assert len(names) == 2
    assert [row.unit for row in rows] == [None] * 4 + [n for n in names for _ in range(4)]
    assert [(row.scheme, row.steps) for row in rows[:4]] == [
        ("euler", 2),
        ("euler", 4),
        ("euler", 8),
        ("rk4", 1),
    ]
    for row in rows:
        assert row.inputs == 8
        assert 0 <= row.agreement <= 1
        assert row.accuracy is not None
        json.dumps(row.to_json(), allow_nan=False)


def test_one_euler_step_changes_nothing(discovery):
    (row, *_) = refinement_test(discovery, [torch.randn(6, 3, 8, 8)], refinements=[Refinement("euler", 1)])
    assert row.agreement == 1.0
    assert row.logit_change < 1e-6
    assert row.accuracy is None


def test_the_hand_made_network_agrees_with_its_refinement_written_out(discovery):
    x = torch.randn(4, 3, 8, 8)
    first = discovery.units[0]
    with run_refined(discovery, [first], Refinement("euler", 2)) as network, torch.no_grad():
        refined = network(x)
    with torch.no_grad():
        z = x + first.branch(x) / 2
        z = torch.relu(z + first.branch(z) / 2)
        for unit in discovery.units[1:]:
            z = unit(z)
    tail = discovery.graph.get_parameter("head.weight"), discovery.graph.get_parameter("head.bias")
    with torch.no_grad():
        honest = z.mean(dim=(2, 3)) @ tail[0].T + tail[1]
    torch.testing.assert_close(refined, honest)


def test_an_answer_that_is_not_finite_agrees_with_nothing(discovery):
    huge = [torch.full((2, 3, 8, 8), 1e38)]
    (row,) = refinement_test(discovery, huge, refinements=[Refinement("rk4", 1)], single_units=False)
    assert row.logit_change is None or np.isfinite(row.logit_change)
    json.dumps(row.to_json(), allow_nan=False)


def test_impossible_requests_are_refused(discovery):
    with pytest.raises(ConfigurationError):
        Refinement("leapfrog")
    with pytest.raises(ConfigurationError):
        Refinement("euler", 0)
    with pytest.raises(ConfigurationError):
        refinement_test(discovery, [])
    with pytest.raises(ConfigurationError):
        refinement_test(discovery, [torch.randn(2, 3, 8, 8)], labels=torch.zeros(3))
    changing = next(unit for unit in discovery.units if not unit.preserves_dimension)
    with pytest.raises(ConfigurationError), run_refined(discovery, [changing], Refinement()):
        pass
